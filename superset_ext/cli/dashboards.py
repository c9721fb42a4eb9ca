"""`superset perf dashboards`: the built-in dashboards, as `superset perf upgrade` installs them too."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.errors import SupersetExtError
from superset_ext.monitor.dashboards.installation import Installed
from superset_ext.monitor.dashboards.installation import install as install_assets
from superset_ext.monitor.dashboards.reader import ReaderError
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.package import EXTENSION, Package


@click.group()
def dashboards() -> None:
    """The performance dashboards."""


@dashboards.command()
@with_appcontext
@click.option("--restore", is_flag=True, help="Put back what was edited or deleted in Superset, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def install(restore: bool, as_json: bool) -> None:
    """Install them, or bring them up to date; what was edited or deleted in Superset stays so."""
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise click.ClickException("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    try:
        done = _installed(package, restore)
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(asdict(done)) if as_json else "\n".join(done.lines()))


def upgrade(package: Package) -> list[str]:
    """Install them, and say so; or say what is missing where the role that reads cannot be made: the rest works."""
    try:
        return _installed(package, restore=False).lines()
    except ReaderError as error:
        return [f"The performance dashboards were not installed: {error}"]
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None


def _installed(package: Package, restore: bool) -> Installed:
    if package.database is None:
        raise ReaderError("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    apply_views(package.database)
    here: Any = current_app
    app = here._get_current_object()
    return install_assets(app, package.database, package.settings, package.settings.reader_url, restore)
