"""`superset perf invalidate`."""

from __future__ import annotations

import time
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.cache.tags import ANY
from superset_ext.cli.options import ids, ids_or_all, json_option
from superset_ext.cli.output import show
from superset_ext.freshness.request import Invalidated
from superset_ext.freshness.request import invalidate as drop
from superset_ext.freshness.resolve import Names, TableName
from superset_ext.settings import OPERATIONS, Operation


def _tables(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[TableName, ...]:
    return tuple(map(_table, values))


def _table(text: str) -> TableName:
    """The table that DATABASE.SCHEMA.TABLE or DATABASE.TABLE stands for; no part may have a dot."""
    parts = text.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        raise click.BadParameter(f"{text!r} is not a table; write DATABASE.SCHEMA.TABLE")
    return TableName(parts[0], parts[-1], parts[1] if len(parts) == 3 else None)


@click.command()
@with_appcontext
@click.option("--table", "tables", multiple=True, callback=_tables, metavar="DATABASE.SCHEMA.TABLE", help="Tables.")
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Databases, all of their tables.")
@click.option("--datasets", multiple=True, callback=ids, metavar="ID,…", help="Datasets.")
@click.option("--charts", multiple=True, callback=ids, metavar="ID,…", help="Charts.")
@click.option("--dashboards", multiple=True, callback=ids_or_all, metavar="ID,…", help="Dashboards.")
@click.option("--key", "keys", multiple=True, metavar="PATTERN", help="Cache keys, with * and ?.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--operation", type=click.Choice(OPERATIONS), default="data_update", help="What was done.")
@json_option
def invalidate(keys: tuple[str, ...], operation: Operation, as_json: bool, **names: Any) -> None:
    """Say what changed, so that nothing older is served."""
    if "all" in names["dashboards"]:
        raise click.BadParameter("name dashboards by id, or give --all", param_hint="--dashboards")
    named = Names(**names)
    if named == Names() and not keys:
        raise click.UsageError("nothing is named; name tables, databases, datasets, charts, dashboards, keys, or --all")
    done = drop(named, keys, "cli", operation, time.time())
    show(as_json, done._asdict(), _text(done))


def _text(done: Invalidated) -> str:
    tags = [tag for tag in done.tags if tag != ANY]
    lines = [f"Nothing older is served of: {', '.join(tags)}."] if done.tags else []
    return "\n".join([*lines, f"{done.keys_deleted} entries deleted."] if done.keys_deleted is not None else lines)
