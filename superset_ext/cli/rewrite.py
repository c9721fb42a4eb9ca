"""`superset perf rewrite`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click
from flask.cli import with_appcontext

from superset_ext.cli import rewritten
from superset_ext.cli.asking import asked, query_options
from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.core.amount import amount
from superset_ext.errors import PlanError
from superset_ext.host.explaining import Asking, as_user, connected
from superset_ext.plans.rewrite import AUTOMATIC
from superset_ext.plans.rewrite.comparison import Comparison, Side, compare

_WIDTH = 110


@click.command()
@query_options
@click.option("--run", is_flag=True, help="Run both texts, show what they took, and whether they give the same rows.")
@click.option("--automatic", is_flag=True, help="Show which charts are rewritten, and what came of it; no SQL then.")
@click.option("--allow", type=int, metavar="DATASET", help="Allow rules again that gave other rows for this dataset.")
@with_appcontext
@json_option
def rewrite(
    sql: str | None, chart: int | None, database: str | None, schema: str | None, user: str | None, run: bool,
    timeout: float, automatic: bool, allow: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Show a quicker text of a query, with the same answer.

    SQL is one SELECT. Nothing is changed: all is asked in a read-only transaction, as Superset connects. Rules that do
    not apply say why. Charts are rewritten by themselves where SUPERSET_EXT_REWRITES says so; see --automatic.
    """
    if allow is not None:
        rewritten.allow(as_json, allow)
        return
    if automatic:
        rewritten.automatic(as_json)
        return
    if (sql is None) == (chart is None):
        raise PlanError("give one SELECT, or --chart ID")
    with as_user(user) as identity:
        askings = asked(sql, chart, database, schema, identity)
        comparisons = [_compare(asking, timeout, run) for asking in askings]
    show(as_json, [one.as_dict() for one in comparisons], "\n\n".join("\n".join(_lines(one)) for one in comparisons))


def _compare(asking: Asking, timeout: float, run: bool) -> Comparison:
    with connected(asking) as connection:
        return compare(connection, asking.sql, timeout, run)


def _lines(comparison: Comparison) -> Iterator[str]:
    """A comparison, for a person."""
    yield from _side("Original", comparison.original)
    if comparison.rewritten is not None:
        yield from _side("Rewritten", comparison.rewritten)
        yield _outcome(comparison)
    else:
        yield f"It is left as it is{f': {comparison.rewriting.reason}' if comparison.rewriting.reason else '.'}"
    yield from _verdicts(comparison)


def _side(title: str, side: Side) -> Iterator[str]:
    took = "" if side.ms is None else f", {side.ms:.1f} ms"
    yield f"{title}: cost {side.cost:.0f}{took}"
    yield textwrap.indent(side.sql, "   ")


def _outcome(comparison: Comparison) -> str:
    rows, below = comparison.rows, comparison.rewriting.below
    sure = "" if below is None else f" A LIMIT may choose among ties: sure where fewer than {below:,} rows come back."
    if comparison.equal is None:
        return f"Run both by --run, which compares their rows.{sure}"
    return f"{amount(rows or 0, 'row')}, the same.{sure}" if comparison.equal else f"OTHER ROWS: do not use it.{sure}"


def _verdicts(comparison: Comparison) -> Iterator[str]:
    automatic = {rule.__name__ for rule in AUTOMATIC}
    for name, verdict in comparison.rewriting.verdicts.items():
        if verdict.changed:
            kind = "automatic" if name in automatic else "advice"
            yield _filled(f"+ {name} ({kind}, some {verdict.times:.1f} times): {'; '.join(verdict.changed)}")
    for name, verdict in comparison.rewriting.verdicts.items():
        if not verdict.changed:
            yield _filled(f"- {name}: {'; '.join(verdict.refused)}")


def _filled(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ")
