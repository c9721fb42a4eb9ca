"""`superset perf explain`."""

from __future__ import annotations

from collections.abc import Iterator

import click
from flask.cli import with_appcontext

from superset_ext.cli.asking import asked, query_options
from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.errors import PlanError
from superset_ext.host.explaining import WITH_PLANS, Asking, as_user, connected
from superset_ext.package import package
from superset_ext.plans import kept
from superset_ext.plans.estimate import Estimate, estimate
from superset_ext.plans.review import Review, review, review_of


@click.command()
@query_options
@click.option("--fingerprint", metavar="F", help="The plans that were kept of this statement, instead of SQL.")
@click.option("--analyze", is_flag=True, help="Run it, roll it back, and show what each step took.")
@with_appcontext
@json_option
def explain(
    sql: str | None, chart: int | None, fingerprint: str | None, database: str | None, schema: str | None,
    user: str | None, analyze: bool, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """Show why a query is slow, and what would help.

    SQL is one SELECT. It is explained in a read-only transaction, as Superset connects. Values are left out of what is
    shown.
    """
    if sum(given is not None for given in (sql, chart, fingerprint)) != 1:
        raise PlanError("give one SELECT, or --chart ID, or --fingerprint F")
    if fingerprint is not None:
        _show_kept(fingerprint, as_json)
        return
    with as_user(user) as identity:
        askings = asked(sql, chart, database, schema, identity)
        items = [_review(asking, timeout, analyze) for asking in askings]
    values = [{**review.as_dict(), "estimate": took.as_dict()} for review, took in items]
    show(as_json, values, "\n\n".join(_texts(items)))


def _show_kept(fingerprint: str, as_json: bool) -> None:
    rows = kept.plans_of(package().log(), fingerprint)
    if not rows:
        raise PlanError(f"no plan of {fingerprint} is kept; plans are taken of slow queries of PostgreSQL and DuckDB")
    texts = [f"{row['taken_at']:%Y-%m-%d %H:%M}, {row['duration_ms']:,.0f} ms\n{review_of(row).text()}" for row in rows]
    show(as_json, rows, "\n\n".join(texts))


def _review(asking: Asking, timeout: float, analyze: bool) -> tuple[Review, Estimate]:
    number = int(asking.database.id)  # which is another session's once it is connected to
    with connected(asking, WITH_PLANS) as connection:
        one = review(connection, asking.sql, timeout, analyze)
    return one, estimate(package().database, number, one.plan.root.cost)


def _texts(items: list[tuple[Review, Estimate]]) -> Iterator[str]:
    for place, (one, took) in enumerate(items, 1):
        head = f"Query {place} of {len(items)}\n" if len(items) > 1 else ""
        yield f"{head}{one.text()}\n\n{took.text()}"
