"""`superset perf refresh` and `superset perf recommend`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.db import LogDatabase
from superset_ext.errors import SupersetExtError
from superset_ext.install import EXTENSION, Package
from superset_ext.monitor.names import names
from superset_ext.monitor.recommend import Recommendation
from superset_ext.monitor.recommend import recommend as advise
from superset_ext.monitor.views import Refreshed, apply_views
from superset_ext.monitor.views import refresh as refresh_views

_WIDTH = 110


@click.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refresh(as_json: bool) -> None:
    """Bring what the performance dashboards show up to now, as beat does every minute."""
    package = _package()
    database = _log(package)
    _clear(lambda: apply_views(database))
    done: Sequence[Refreshed] = _clear(lambda: refresh_views(database, package.settings.slow_query_ms, names))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in done]))
    else:
        for each in done:
            click.echo(f"{each.view:<20} {_outcome(each)}")
    if any(each.error for each in done):
        raise click.exceptions.Exit(1)


def _outcome(done: Refreshed) -> str:
    return f"failed: {done.error}" if done.error else f"{done.rows:>10} rows  {done.seconds:>7.2f} s"


@click.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the evidence.")
def recommend(as_json: bool) -> None:
    """What to set otherwise, why, and what that should bring; nothing is changed."""
    package = _package()
    found: Sequence[Recommendation] = _clear(lambda: advise(current_app, _log(package), package.settings))
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in found], default=str, indent=2))
    elif not found:
        click.echo("Nothing to recommend: the log speaks for no change.")
    else:
        click.echo("\n\n".join(_told(number, each) for number, each in enumerate(found, 1)))


def _told(number: int, each: Recommendation) -> str:
    parts = (f"{number}. {each.found}", f"Set: {each.set_}", f"Brings: {each.brings}")
    return "\n".join(textwrap.fill(part, _WIDTH, subsequent_indent="   ", initial_indent="" if not index else "   ")
                     for index, part in enumerate(parts))  # fmt: skip


def _package() -> Package:
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise click.ClickException("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    return package  # type: ignore[no-any-return]


def _log(package: Package) -> LogDatabase:
    if package.database is None:
        raise click.ClickException("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    return package.database


def _clear(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None
