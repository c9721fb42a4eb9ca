"""`superset perf listen`."""

from __future__ import annotations

import signal

import click
from flask.cli import with_appcontext

from superset_ext.freshness.watch.service import listener
from superset_ext.package import package, this_app


@click.command()
@with_appcontext
def listen() -> None:
    """Hear commits to watched tables, until Ctrl-C or SIGTERM.

    One such process is enough.
    """
    running = listener(this_app(), package().log())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stop())
    click.echo("Listening; Ctrl-C ends it.")
    running.run()
