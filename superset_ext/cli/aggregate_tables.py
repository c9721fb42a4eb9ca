"""`superset perf aggregates build`, `refresh`, `check`, `drop` and `list`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.aggregates import service
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.checking import Checked
from superset_ext.aggregates.tables.definition import Upkeep
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.tables.transaction import LOCK_SECONDS
from superset_ext.cli.aggregate_answers import Answers
from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.core.amount import amount
from superset_ext.package import package, this_app

_WIDTH = 110
_LINES = 12  # of a statement that is printed whole before somebody is asked
_MEBI = 2**20
database_option = click.option("--database", metavar="NAME", required=True, help="Superset's database, by name or id.")
_names = click.argument("names", nargs=-1, metavar="AGGREGATE…")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_wait = click.option(
    "--wait", type=click.FloatRange(min=0.1), default=LOCK_SECONDS, show_default=True,
    help="Seconds to wait for those who write to the table; others wait behind it.",
)  # fmt: skip


@click.command()
@database_option
@click.option("--sql", required=True, help="One SELECT … GROUP BY …; what answers it is built.")
@click.option("--name", help="Of the aggregate and its table; else one is made up.")
@click.option("--schema", metavar="NAME", help="Where the statement's tables are looked up.")
@click.option("--filter", "filters", multiple=True, metavar="COLUMN", help="That readers filter by: it gets an index.")
@click.option(
    "--upkeep", type=click.Choice(["notes", "tail", "schedule"]),
    help="notes: triggers note what changes, which is read again; tail: rows are only added, at the end of time; "
    "schedule: all of it is made anew. Else notes, where the table allows them.",
)  # fmt: skip
@click.option("--every", type=click.IntRange(1), metavar="SECONDS", help="How often it is looked at.")
@click.option("--tail", metavar="COLUMN", help="The column of time whose end rows are added to.")
@click.option("--late", type=click.IntRange(0), default=0, metavar="SECONDS", help="How late such rows may come.")
@_wait
@click.option("--print", "whole", is_flag=True, help="Print the statements in full, and build nothing.")
@_yes
@json_option
@with_appcontext
def build(
    database: str, sql: str, name: str | None, schema: str | None, filters: tuple[str, ...], upkeep: Upkeep | None,
    every: int | None, tail: str | None, late: int, wait: float, whole: bool, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Build a small table on the source, and what keeps it up.

    The statements are printed first, long ones by their beginning. Triggers on the table wait for those who write to
    it; its rows are read once.
    """
    wanted = service.Wanted(name, schema, filters, upkeep, every, tail, late)
    plan = service.planned(this_app(), database, sql, wanted)
    if whole:
        show(as_json, {"name": plan.definition.name, "statements": plan.statements, "notes": plan.notes},
             "\n".join((*_whole(plan.statements), *_wrapped(plan.notes))))  # fmt: skip
        return
    _say(as_json, (*_beginnings(plan.statements), *_wrapped(plan.notes)))
    _ask(yes, as_json, f"Build the aggregate {plan.definition.name} on {plan.database}?")
    done = service.built(this_app(), package().log(), plan, wait)
    line = (
        f"{done.name}: built, {amount(done.groups, 'row')} in {done.seconds:.1f} s; kept up by {plan.definition.upkeep}"
    )
    show(as_json, {"name": done.name, "rows": done.groups, "seconds": done.seconds,
                   "upkeep": plan.definition.upkeep, "notes": plan.notes}, line)  # fmt: skip


@click.command()
@database_option
@_names
@click.option("--whole", is_flag=True, help="Make all of it anew, whatever has changed.")
@json_option
@with_appcontext
def refresh(database: str, names: tuple[str, ...], whole: bool, as_json: bool) -> None:
    """Bring aggregates up to date."""
    results = list(service.refreshed(this_app(), database, names, whole))
    show(as_json, [_as_dict(*one) for one in results], "\n".join(_refreshed(*one) for one in results) or _NONE)
    _fail_if(any(isinstance(result, str) for _, result in results))


@click.command()
@database_option
@_names
@json_option
@with_appcontext
def check(database: str, names: tuple[str, ...], as_json: bool) -> None:
    """Compare all of an aggregate with its table.

    Without names, all aggregates are compared. Each is brought up to date first. One that differs is switched off:
    nobody is answered from it until it is built anew.
    """
    results = list(service.checked(this_app(), database, names))
    show(as_json, [_as_dict(*one) for one in results], "\n".join(_checked(*one) for one in results) or _NONE)
    _fail_if(any(isinstance(result, str) or result.differences for _, result in results))


@click.command()
@database_option
@_names
@_wait
@_yes
@json_option
@with_appcontext
def drop(database: str, names: tuple[str, ...], wait: float, yes: bool, as_json: bool) -> None:
    """Drop aggregates with their triggers.

    Without names, all of them, and everything of ours on the source.
    """
    known = [one.name for one in service.listed(this_app(), database) if not names or one.name in names]
    if known:
        _ask(yes, as_json, f"Drop {', '.join(known)}?")
    results = list(service.dropped(this_app(), package().log(), database, names, wait))
    lines = [f"{name}: {reason or 'dropped'}" for name, reason in results]
    rows = [{"name": name, "dropped": not reason, "reason": reason} for name, reason in results]
    show(as_json, rows, "\n".join(lines) or _NONE)
    _fail_if(any(reason for _, reason in results))


@click.command("list")
@database_option
@json_option
@with_appcontext
def list_(database: str, as_json: bool) -> None:
    """Show aggregates: whether they are exact, and what they saved."""
    known = service.listed(this_app(), database)
    answers = Answers.of(database)
    rows = [{**_row(one), **answers.as_dict(one.name)} for one in known]
    show(as_json, rows, "\n\n".join("\n".join((*_lines(one), *answers.lines(one.name))) for one in known) or _NONE)


_NONE = "There are no aggregates here."


def _row(one: Kept) -> dict[str, Any]:
    return {
        "name": one.name, "table": one.view.table, "base": one.definition.base, "state": one.state,
        "is_exact": one.is_exact, "reason": one.reason, "as_of": one.as_of, "age_seconds": one.age_seconds,
        "rows": one.view.rows, "bytes": one.bytes, "upkeep": one.definition.upkeep,
        "every_seconds": one.definition.every_seconds, "seconds": one.seconds, "version": one.version,
        "built_at": one.built_at, "refreshed_at": one.refreshed_at, "checked_at": one.checked_at,
        "select": one.definition.select(),
    }  # fmt: skip


def _lines(one: Kept) -> Iterator[str]:
    state = "exact" if one.is_exact else one.state
    size = f"{amount(one.view.rows or 0, 'row')}, {(one.bytes or 0) / _MEBI:,.1f} MiB"
    age = "never read" if one.age_seconds is None else f"exact as of {one.age_seconds:,.0f} s ago"
    upkeep = f"kept up by {one.definition.upkeep}, every {one.definition.every_seconds} s"
    yield f"{one.name}: {state}; {size}; {age}; {upkeep}"
    yield from _wrapped([one.reason] if one.reason else [])
    yield from _wrapped([one.definition.select()])


def _refreshed(name: str, result: Refreshed | str) -> str:
    if isinstance(result, str):
        return f"{name}: {result}"
    what = {
        "nothing": "nothing has changed", "groups": f"{amount(result.groups, 'group')} made anew",
        "tail": f"the last {amount(result.groups, 'group')} made anew",
        "whole": f"all of it made anew, {amount(result.groups, 'row')}",
    }[result.how]  # fmt: skip
    return f"{name}: {what}, {result.seconds:.2f} s"


def _checked(name: str, result: Checked | str) -> str:
    if isinstance(result, str):
        return f"{name}: {result}"
    left_out = f"; not compared, as sums of floating point numbers: {', '.join(result.not_compared)}"
    what = f"{result.differences:,} ROWS DIFFER: it is switched off" if result.differences else "equal"
    return f"{name}: {what}{left_out if result.not_compared else ''}"


def _as_dict(name: str, result: Refreshed | Checked | str) -> dict[str, Any]:
    return {"name": name, "error": result} if isinstance(result, str) else asdict(result)


def _ask(yes: bool, as_json: bool, question: str) -> None:
    if yes:
        return
    if as_json:
        raise click.UsageError("with --json nobody can be asked; say --yes")
    click.confirm(question, abort=True)


def _say(as_json: bool, lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=as_json)


def _fail_if(failed: bool) -> None:
    if failed:
        raise click.exceptions.Exit(1)


def _whole(statements: Iterable[str]) -> Iterator[str]:
    return (text if text.startswith("--") else f"{text.strip()};" for text in statements)


def _beginnings(statements: Iterable[str]) -> Iterator[str]:
    """The statements, but for the bodies of functions and what else is too long to be read before a yes."""
    is_cut = False
    for text in _whole(statements):
        lines = text.splitlines()
        shown = lines if len(lines) <= _LINES else lines[:1]
        is_cut = is_cut or shown != lines
        yield "\n".join(shown) + (f"\n   … {len(lines) - 1} more lines" if shown != lines else "")
    if is_cut:
        yield "   In full: the same command with --print, which builds nothing."


def _wrapped(lines: Iterable[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, initial_indent="   ", subsequent_indent="   ") for line in lines]
