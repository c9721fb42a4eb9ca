"""A query that is named on the command line: a SELECT, or what a chart would ask now; where it goes, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from superset_ext.errors import PlanError
from superset_ext.host.databases import database_typed
from superset_ext.host.explaining import Asking, has_query, of_chart
from superset_ext.host.people import Identity
from superset_ext.package import package, this_app
from superset_ext.warm import asked_again

_OPTIONS = (
    click.argument("sql", required=False),
    click.option("--chart", type=int, metavar="ID", help="What this chart would ask now, instead of SQL."),
    click.option("--database", metavar="NAME", help="Name or id of the database that the SQL is for."),
    click.option("--schema", metavar="NAME", help="Schema of its tables that are written without one."),
    click.option("--user", metavar="NAME", help="As this user of Superset: its row-level rules; impersonated, if so."),
    click.option(
        "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds it may take."
    ),
)


def query_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a query."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked(
    sql: str | None, chart: int | None, database: str | None, schema: str | None, identity: Identity | None
) -> list[Asking]:
    """The queries that are named; of a chart that was saved without any, those of the request that is used most.

    Args:
        identity: as whom; `None` of nobody.

    Raises:
        PlanError: it is not said where the SQL goes, or there is no such chart or database.
    """
    if chart is not None:
        return (
            of_chart(chart) if has_query(chart) else asked_again.of_chart(this_app(), package().log(), chart, identity)
        )
    if database is None:
        raise PlanError("say by --database NAME where the SQL goes")
    return [Asking(database_typed(database), sql or "", schema=schema)]
