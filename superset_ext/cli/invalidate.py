"""`superset perf invalidate`."""

from __future__ import annotations

import time
from typing import Any

import click
from click.core import ParameterSource
from flask.cli import with_appcontext

from superset_ext.cli.dbt import tables_built
from superset_ext.cli.names import in_words, table_named
from superset_ext.cli.options import ids, ids_or_all, json_option
from superset_ext.cli.output import show
from superset_ext.core.amount import amount
from superset_ext.freshness.request import Invalidated
from superset_ext.freshness.request import invalidate as drop
from superset_ext.freshness.resolve import Names, TableName
from superset_ext.settings import OPERATIONS, Operation


def _tables(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[TableName, ...]:
    try:
        return tuple(map(table_named, values))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _built(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[TableName, ...]:
    try:
        return tuple(table for value in values for table in tables_built(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@with_appcontext
@click.option("--table", "tables", multiple=True, callback=_tables, metavar="DATABASE.SCHEMA.TABLE", help="Tables.")
@click.option(
    "--dbt",
    "built",
    multiple=True,
    callback=_built,
    metavar="DATABASE=FOLDER",
    help="Tables that the last dbt run has built; FOLDER is its target folder.",
)
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Databases, all of their tables.")
@click.option("--datasets", multiple=True, callback=ids, metavar="ID,…", help="Datasets.")
@click.option("--charts", multiple=True, callback=ids, metavar="ID,…", help="Charts.")
@click.option("--dashboards", multiple=True, callback=ids_or_all, metavar="ID,…", help="Dashboards.")
@click.option("--key", "keys", multiple=True, metavar="PATTERN", help="Cache keys, with * and ?.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--operation", type=click.Choice(OPERATIONS), default="data_update", help="What was done.")
@json_option
def invalidate(
    keys: tuple[str, ...], operation: Operation, as_json: bool, built: tuple[TableName, ...], **names: Any
) -> None:
    """Say what changed, so that nothing older is served.

    Tables are written as in SQL, after the name or id of Superset's database: examples.public.orders, or
    'examples."Sales"."Weird.Table"'.
    """
    named_dbt = click.get_current_context().get_parameter_source("built") is ParameterSource.COMMANDLINE
    if "all" in names["dashboards"]:
        raise click.BadParameter("name dashboards by id, or give --all", param_hint="--dashboards")
    named = Names(**names | {"tables": (*names["tables"], *built)})
    if named_dbt and named == Names() and not keys:
        show(as_json, {"tags": (), "stamped_at": None}, "The dbt run has built nothing.")
        return
    if named == Names() and not keys:
        raise click.UsageError("nothing is named; name tables, databases, datasets, charts, dashboards, keys, or --all")
    done = drop(named, keys, "cli", operation, time.time())
    show(as_json, done.as_dict(), _text(done, named))


def _text(done: Invalidated, named: Names) -> str:
    lines = [f"Nothing older is served of: {in_words(named)}."] if done.tags else []
    if done.keys_deleted is not None:
        lines.append(f"{amount(done.keys_deleted, 'entry', 'entries')} deleted.")
    return "\n".join(lines)
