"""`superset perf dashboards`."""

from __future__ import annotations

from dataclasses import asdict

import click
from flask.cli import AppGroup

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.monitor.dashboards.installation import Installed
from superset_ext.monitor.dashboards.installation import install as install_assets
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.package import Package, package, this_app


@click.group(cls=AppGroup)
def dashboards() -> None:
    """Install the performance dashboards."""


@dashboards.command()
@click.option("--restore", is_flag=True, help="Put back what was edited or deleted in Superset, too.")
@json_option
def install(restore: bool, as_json: bool) -> None:
    """Install the dashboards, or bring them up to date.

    What was edited or deleted in Superset stays as it is.
    """
    outcome = installed(package(), restore)
    show(as_json, asdict(outcome), "\n".join(outcome.lines()))


def installed(here: Package, restore: bool) -> Installed:
    """Install the dashboards and the views that they show.

    Raises:
        NoLogDatabase: there is no log database.
        ReaderError: the role that reads for the dashboards cannot be made.
    """
    database = here.log()
    apply_views(database)
    return install_assets(this_app(), database, here.settings, here.settings.reader_url, restore)
