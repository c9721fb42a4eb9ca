"""`superset perf aggregates propose`."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.considering import Proposal
from superset_ext.aggregates.propose.report import Report, as_dict, build_command, report, setting, who
from superset_ext.aggregates.tables.definition import named_base
from superset_ext.cli.options import budget_option, days_option, json_option
from superset_ext.cli.output import show
from superset_ext.core.amount import amount
from superset_ext.core.quiet import unwarned
from superset_ext.host.explaining import as_user
from superset_ext.package import package, this_app
from superset_ext.settings import PREFIX

_WIDTH = 110
_INDENT = "   "
_SHOWN = 5  # names, and reasons
_MEBI = 2**20


@click.command()
@click.option("--database", metavar="NAME", required=True, help="Superset's database, by name or id.")
@budget_option
@days_option
@click.option("--user", metavar="NAME", help="For what this user of Superset sees; else for what each who asked sees.")
@click.option("--floats", is_flag=True, help="Count in what may differ in the last digits of floating point sums.")
@click.option("--loose", is_flag=True, help="Count in what may show another of several equal values, as 1.0 for 1.00.")
@json_option
@with_appcontext
def propose(
    database: str, budget: int | None, days: int, user: str | None, floats: bool, loose: bool, as_json: bool
) -> None:
    """Show which aggregates would save most for their bytes.

    What charts ask, and how long it takes, is in the query log. Its statements have no values; these come from the
    requests that people and warming have made, each asked as whoever made it, from saved charts and from SQL Lab's
    history. Nothing is made. The source is asked for its catalog, for plans and for samples, within a transaction that
    may only read.
    """
    with as_user(user) as identity, unwarned():
        allowed = Allowed(floats=floats, loose=loose)
        result = report(this_app(), package().log(), database, budget, days, identity, allowed)
    show(as_json, as_dict(result), "\n\n".join(_parts(result)))


def _parts(result: Report) -> Iterator[str]:
    proposed = result.proposed
    yield "\n".join([_headline(result), *_wrapped(result.notes)])
    for number, one in enumerate(proposed.proposals, 1):
        facts = [line for name, text in _facts(one, result) for line in _line(name, text)]
        build = f"{_INDENT}Build   {shlex.join(build_command(one, result.database))}"
        yield "\n".join([f"{number}. {one.name}, of {_relation(one)}", *facts, build])
    if proposed.refused:
        reasons = [f"{one.statements} × ({seconds(one.seconds)}): {one.reason}" for one in proposed.refused[:_SHOWN]]
        lines = _wrapped([*reasons, *_flags(result)])
        yield "\n".join(("Left to Superset, with the time a day that it takes:", *lines))
    if rest := proposed.answerable - proposed.served - proposed.held:
        yield f"{rest} more could be answered, by aggregates that are too large or save too little."
    if proposed.proposals:
        yield "\n".join(_next(result))


def _flags(result: Report) -> Iterator[str]:
    """How to count in what may differ a little, where it is not counted in."""
    words = [f"--{name}" for name in ("floats", "loose") if not getattr(result.allowed, name)]
    if words:
        yield f"What would answer if more may differ: again with {' '.join(words)}"


def _headline(result: Report) -> str:
    proposed = result.proposed
    number, size = len(proposed.proposals), sum(one.bytes for one in proposed.proposals)
    log = f"by the query log of {result.days} days" if result.days > 1 else "by the query log of a day"
    held = f"; those that are built answer {amount(proposed.held, 'statement')}" if proposed.held else ""
    if not number:
        return f"{result.database}: no aggregate is worth its bytes, {log}{held}"
    return (
        f"{result.database}: {amount(number, 'aggregate')} of {_size(size)} would save about "
        f"{seconds(sum(one.seconds for one in proposed.proposals))} of {seconds(proposed.seconds)} a day,\n"
        f"{log}; the budget is {_size(proposed.budget)}{held}"
    )


def _relation(one: Proposal) -> str:
    return one.view.relation.replace('"', "") if one.view.relation.startswith('"') else "the query of a dataset"


def _facts(one: Proposal, result: Report) -> Iterator[tuple[str, str]]:
    keys = ", ".join(one.view.names[key] for key in one.view.keys) or "all rows"
    measures = ", ".join(one.view.names[measure] for measure in one.view.measures) or "the number of rows"
    yield "Keeps", f"{keys}: {measures}"
    read = f"about {one.estimate.rows:,.0f} rows ({one.estimate.how}) are read instead of {one.base_rows:,.0f}"
    yield "Saves", f"about {seconds(one.seconds)} a day: {read}"
    yield "Size", _size(one.bytes)
    yield "Upkeep", _upkeep(one, result)
    yield "Serves", _served(one, result)


def _upkeep(one: Proposal, result: Report) -> str:
    if result.upkeep == "schedule":
        return "all of it is made anew where the source's file has changed"
    if named_base(one.view) is None:
        return "it is made of a query, so that all of it is made anew each time"
    if one.writes_a_day is None:
        return "it follows each row of its table that is written; how many that are a day was not counted for a day yet"
    return f"about {one.writes_a_day:,.0f} rows of its table are written a day; it follows each"


def _served(one: Proposal, result: Report) -> str:
    charts, datasets = (_names(who(one, kind), kind, result) for kind in ("chart", "dataset"))
    of_charts = f" of {charts}" if charts else ""
    return f"{amount(len(one.serves), 'statement')}{of_charts}{f' on {datasets}' if datasets else ''}"


def _names(numbers: list[int], kind: str, result: Report) -> str:
    """Names that people know, as many as fit."""
    names = [result.names.get((kind, number), f"{kind} {number}") for number in numbers]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"«{name}»" for name in names[:_SHOWN]) + more


def _next(result: Report) -> Iterator[str]:
    yield "Next: build those that you want, by their commands. Then let charts be answered from them, and start"
    yield "Superset anew. Each chart's answer is compared with Superset's own before it is used."
    yield f"{_INDENT}{PREFIX}AGGREGATES={shlex.quote(setting(result))}"
    yield f"{_INDENT}superset perf aggregates list --database {shlex.quote(result.database)}"


def seconds(number: float) -> str:
    """Seconds for people: two digits of small ones."""
    return f"{number:,.1f} s" if number >= 1 else f"{number * 1000:,.0f} ms"


def _size(number: float) -> str:
    return f"{number / _MEBI:,.1f} MiB" if number >= _MEBI else f"{number / 1024:,.0f} KiB"


def _line(name: str, text: str) -> list[str]:
    first = f"{_INDENT}{name:<8}"
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _wrapped(lines: Iterable[Any]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT) for line in lines]
