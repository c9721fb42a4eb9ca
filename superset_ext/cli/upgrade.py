"""`superset perf upgrade`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from superset_ext.cli.dashboards import installed
from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.grants.install import grants
from superset_ext.monitor.dashboards.reader import ReaderError
from superset_ext.monitor.log.retention import maintain
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.package import Package, package, this_app


@click.command()
@with_appcontext
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the log's tables and the dashboards up to date.

    It is safe to run this at any time.
    """
    here = package()
    database = here.log()
    applied = [*database.apply_schema(), *apply_views(database)]
    lines = _dashboards(here) if here.settings.dashboards else []
    lines += _triggers()
    maintain(database, here.settings)
    outcome = f"applied {', '.join(applied)}" if applied else "up to date"
    show(as_json, {"applied": applied, "dashboards": lines}, "\n".join([f"Log database: {outcome}.", *lines]))


def _triggers() -> list[str]:
    """How many triggers tell of changes that grants depend on; nothing where grants are off."""
    made = grants(this_app())
    if made is None:
        return []
    if not made.stamps.make_ready():
        return ["Answers are not granted again: the triggers could not be made; the log says why."]
    return [f"{made.stamps.number} triggers on the metadata database tell of changes."]


def _dashboards(here: Package) -> list[str]:
    """What became of the dashboards; the rest works where the role that reads for them cannot be made."""
    try:
        return installed(here, restore=False).lines()
    except ReaderError as error:
        return [f"The performance dashboards were not installed: {error}"]
