"""`superset perf refresh`."""

from __future__ import annotations

from dataclasses import asdict

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.host.names import object_names
from superset_ext.monitor.advice import kept
from superset_ext.monitor.rollup.views import Refreshed, apply_views
from superset_ext.monitor.rollup.views import refresh as refresh_views
from superset_ext.package import package, this_app


@click.command()
@with_appcontext
@json_option
def refresh(as_json: bool) -> None:
    """Bring the figures of the dashboards up to date.

    Celery beat does this every minute.
    """
    here = package()
    database = here.log()
    apply_views(database)
    advice = kept.steps(this_app(), database, here.settings)
    outcomes = refresh_views(database, here.settings.slow_query_ms, object_names, advice)
    show(as_json, [asdict(outcome) for outcome in outcomes], "\n".join(map(_line, outcomes)))
    if any(outcome.error for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _line(outcome: Refreshed) -> str:
    result = f"failed: {outcome.error}" if outcome.error else f"{outcome.rows:>10} rows  {outcome.seconds:>7.2f} s"
    return f"{outcome.view:<20} {result}"
