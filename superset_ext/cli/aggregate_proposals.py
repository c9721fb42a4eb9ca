"""`superset perf aggregates propose`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click
from flask.cli import with_appcontext

from superset_ext.aggregates.propose.proposals import Proposal
from superset_ext.aggregates.propose.report import Report, as_dict, report, who
from superset_ext.cli.options import budget_option, days_option, json_option
from superset_ext.cli.output import show
from superset_ext.host.explaining import as_user
from superset_ext.package import package, this_app

_WIDTH = 110
_INDENT = "   "
_SHOWN = 5  # names, and reasons
_MEBI = 2**20


@click.command()
@click.option("--database", metavar="NAME", required=True, help="Superset's database, by name or id.")
@budget_option
@days_option
@click.option("--user", metavar="NAME", help="For charts as this user of Superset sees them.")
@json_option
@with_appcontext
def propose(database: str, budget: int | None, days: int, user: str | None, as_json: bool) -> None:
    """Show which aggregates would save most for their bytes.

    What charts ask is taken from the query log, with the values that they have now. Nothing is made: the statements are
    printed. The source is asked for its catalog, for plans and for samples, within a transaction that may only read.
    """
    with as_user(user) as identity:
        result = report(this_app(), package().log(), database, budget, days, identity)
    show(as_json, as_dict(result), "\n\n".join(_lines(result)))


def _lines(result: Report) -> Iterator[str]:
    proposed = result.proposed
    saved = sum(one.seconds for one in proposed.proposals)
    yield "\n".join((
        f"{result.database}: {len(proposed.proposals)} aggregates within {proposed.budget / _MEBI:,.0f} MiB would save "
        f"about {saved:,.1f} of {proposed.seconds:,.1f} s a day", *_wrapped(result.notes),
    ))  # fmt: skip
    for number, one in enumerate(proposed.proposals, 1):
        statements = [f"{number}. {one.view.create()[0]}", *(f"{_INDENT}{text}" for text in one.view.create()[1:])]
        yield "\n".join([*statements, *_wrapped(_facts(one, result))])
    if proposed.refused:
        reasons = [f"{one.statements} × ({one.seconds:,.1f} s): {one.reason}" for one in proposed.refused[:_SHOWN]]
        yield "\n".join(("No aggregate answers, with the seconds a day that they take:", *_wrapped(reasons)))
    if rest := proposed.answerable - proposed.served:
        yield f"{rest} statements could be answered, by aggregates that are too large, or that save too little."


def _facts(one: Proposal, result: Report) -> Iterator[str]:
    yield (f"Saves about {one.seconds:,.1f} s a day: about {one.estimate.rows:,.0f} rows ({one.estimate.how}) are read "
           f"instead of {one.base_rows:,.0f}; {one.bytes / _MEBI:,.1f} MiB.")  # fmt: skip
    if one.writes_a_day is not None:
        yield f"Upkeep: about {one.writes_a_day:,.0f} rows of its table are written a day; their groups are made anew."
    else:
        yield "Upkeep: it is made of a query, so that all of it is made anew each time."
    for kind in ("chart", "dataset"):
        numbers = who(one, kind)
        if numbers:
            shown = ", ".join(result.names.get((kind, number), f"#{number}") for number in numbers[:_SHOWN])
            more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
            yield f"Whom it serves, by {kind}: {shown}{more}; {len(one.serves)} statements."


def _wrapped(lines: Iterator[str] | tuple[str, ...] | list[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT) for line in lines]
