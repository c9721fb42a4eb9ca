"""`superset perf listen`."""

from __future__ import annotations

import signal

import click
from flask.cli import with_appcontext

from superset_ext.freshness.watch.installed import hints
from superset_ext.freshness.watch.service import listener
from superset_ext.freshness.watch.wanted import wanted
from superset_ext.package import package, this_app

_NOTHING_YET = "Nothing is watched yet; it begins with: superset perf watch add DATABASE SCHEMA.TABLE"


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
    if not wanted(package().log()):
        for line in hints(this_app(), package().log()) or [_NOTHING_YET]:
            click.echo(line, err=True)
    running.run()
