"""`superset perf indexes`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

import click
from flask.cli import with_appcontext

from superset_ext.cli.index_changes import apply, drop, try_
from superset_ext.cli.options import budget_option, days_option, json_option
from superset_ext.cli.output import show
from superset_ext.package import package, this_app
from superset_ext.plans.indexes.advise import Advice, Proposal
from superset_ext.plans.indexes.report import SourceAdvice, advice_of, as_dict

_WIDTH = 110
_INDENT = "   "
_SHOWN = 5  # names of charts
_MEBI = 2**20


@click.group(invoke_without_command=True)
@click.option("--database", "database", metavar="NAME", help="Superset's database, by name or id; else all of them.")
@budget_option
@days_option
@json_option
@click.pass_context
def indexes(context: click.Context, database: str | None, budget: int | None, days: int, as_json: bool) -> None:
    """Show which indexes would help, and which could go.

    Nothing is made or dropped: the statements are printed. The source is asked for its catalog and for plans, within a
    transaction that may only read. `try`, `apply` and `drop` do what is advised, and ask before they do.
    """
    if context.invoked_subcommand is None:
        _advise(database, budget, days, as_json)


for command in (try_, apply, drop):
    indexes.add_command(command)


@with_appcontext
def _advise(database: str | None, budget: int | None, days: int, as_json: bool) -> None:
    results = advice_of(this_app(), package().log(), database, budget, days)
    text = "\n\n".join(_of_source(result) for result in results)
    show(as_json, [as_dict(result) for result in results], text or "Superset has no PostgreSQL database to advise.")


def _of_source(result: SourceAdvice) -> str:
    if result.advice is None:
        return f"{result.database}: {result.error}"
    return "\n\n".join([_head(result.database, result.advice), *_parts(result)])


def _head(name: str, advice: Advice) -> str:
    if advice.after is None or not advice.seconds:
        brings = "not costed"
    else:
        brings = f"{advice.seconds:,.1f} s → {advice.after:,.1f} s by the planner's costs"
    line = f"{name}: {len(advice.proposals)} indexes within {advice.budget / _MEBI:,.0f} MiB, {brings}"
    return "\n".join((line, *_wrapped(advice.notes)))


def _parts(result: SourceAdvice) -> Iterator[str]:
    advice = result.advice
    for number, proposal in enumerate(advice.proposals if advice else (), 1):
        lines = [f"{number}. {proposal.index.create}", f"{_INDENT}{proposal.index.drop}"]
        yield "\n".join([*lines, *_wrapped(_facts(proposal, result.names))])
    for built in result.standing:
        slower = f" SLOWER: {', '.join(built.slower)}." if built.slower else ""
        yield "\n".join((
            f"{built.state} {built.applied_at:%Y-%m-%d}: {built.name}", *_wrapped([f"{built.reason}.{slower}"]),
            f"{_INDENT}{built.drop}",
        ))  # fmt: skip
    for item in advice.needless if advice else ():
        first = f"{item.kind}: {item.existing.name} ({item.existing.bytes / _MEBI:,.1f} MiB): {item.reason}"
        yield f"{first}\n{_INDENT}{item.existing.drop}"


def _facts(proposal: Proposal, names: Mapping[tuple[str, int], str]) -> Iterator[str]:
    size = f"{proposal.bytes / _MEBI:,.1f} MiB"
    if proposal.seconds is None:
        yield f"Not costed; {size}. Statements that could use it took {proposal.reach:,.1f} s."
    else:
        yield f"Saves {proposal.seconds:,.1f} s of {proposal.reach:,.1f} s by the planner's costs; {size}. Try it."
    if proposal.writes_a_day is not None and proposal.wal_a_day is not None:
        yield (f"Writes to follow: about {proposal.writes_a_day:,.0f} rows a day, "
               f"{proposal.wal_a_day / _MEBI:,.1f} MiB of write-ahead log.")  # fmt: skip
    for kind in ("chart", "dataset"):
        numbers = sorted({number for item in proposal.gains for number in getattr(item, f"{kind}s")})
        if numbers:
            shown = ", ".join(names.get((kind, number), f"#{number}") for number in numbers[:_SHOWN])
            more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
            yield f"Who gains, by {kind}: {shown}{more}."


def _wrapped(lines: Iterable[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT) for line in lines]
