"""`superset perf indexes`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.package import package, this_app
from superset_ext.plans.indexes.advise import Advice, Proposal
from superset_ext.plans.indexes.report import SourceAdvice, advice_of, as_dict
from superset_ext.plans.indexes.workload import DAYS

_WIDTH = 110
_INDENT = "   "
_SHOWN = 5  # names of charts
_MEBI = 2**20
_UNITS: Mapping[str, int] = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _bytes(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Bytes, given as a number with or without a unit."""
    if value is None:
        return None
    text = value.strip().lower().removesuffix("b").removesuffix("i")
    number, unit = text.rstrip("kmgt"), text[len(text.rstrip("kmgt")) :]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no size; write 500MB, 2GB or a number of bytes") from None


@click.command()
@click.option("--database", "database", metavar="NAME", help="Superset's database, by name or id; else all of them.")
@click.option("--budget", callback=_bytes, metavar="BYTES", help="What new indexes may take in all, as 500MB.")
@click.option("--days", type=click.IntRange(1), default=DAYS, show_default=True, help="Of the query log.")
@with_appcontext
@json_option
def indexes(database: str | None, budget: int | None, days: int, as_json: bool) -> None:
    """Show which indexes would help, and which could go.

    Nothing is made or dropped: the statements are printed. The source is asked for its catalog and for plans, within a
    transaction that may only read.
    """
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
