"""`superset perf uninstall`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.package import package, this_app
from superset_ext.uninstall import running_workers
from superset_ext.uninstall import uninstall as remove_all


@click.command()
@with_appcontext
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def uninstall(yes: bool, as_json: bool) -> None:
    """Take away all that the package has made.

    That is: watches, aggregates, dashboards, permissions, cached entries, and the log. Before, stop Superset's web
    server, workers, beat and listener: what runs with the package makes its tables again. After, take the package out
    of the config.
    """
    here = package()
    if running := running_workers():
        names = ", ".join(running)
        raise click.ClickException(f"Celery workers run with the package ({names}); stop Superset's processes first")
    if not yes:
        click.confirm("Delete the log, the performance dashboards, all watches and all cached entries?", abort=True)
    removed: list[str] = []
    for step in remove_all(this_app(), here):
        if step.removed:
            removed.append(step.text)
        else:
            click.echo(step.text, err=True)
    show(as_json, {"removed": removed}, "\n".join(f"Removed: {text}." for text in removed))
