"""`superset perf upgrade`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from superset_ext.cli.dashboards import installed
from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.core.driver_errors import first_line
from superset_ext.grants.install import metadata_stamps
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
    lines += _triggers(here.settings.grants)
    maintain(database, here.settings)
    outcome = f"applied {', '.join(applied)}" if applied else "up to date"
    show(as_json, {"applied": applied, "dashboards": lines}, "\n".join([f"Log database: {outcome}.", *lines]))


def _triggers(mode: str) -> list[str]:
    """What became of the triggers that tell of changes which grants depend on; without grants there are none."""
    stamps = metadata_stamps(this_app())
    try:
        if mode != "triggers":
            return ["The triggers of grants were taken away."] if stamps.uninstall() else []
        stamps.install()
    except Exception as error:  # noqa: BLE001  (of SQLAlchemy or the driver, whichever it is)
        return [f"Answers are not given again: {first_line(error)}"]
    if not stamps.look():
        return [f"Answers are not given again: {stamps.missing}"]
    return ["Triggers on the metadata database tell of changes: answers are given again while there are none."]


def _dashboards(here: Package) -> list[str]:
    """What became of the dashboards; the rest works where the role that reads for them cannot be made."""
    try:
        return installed(here, restore=False).lines()
    except ReaderError as error:
        return [f"The performance dashboards were not installed: {error}"]
