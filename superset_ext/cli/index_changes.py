"""`superset perf indexes try`, `apply` and `drop`: what is printed first is done once somebody has agreed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import budget_option, days_option, json_option
from superset_ext.core.amount import amount
from superset_ext.core.quiet import unwarned
from superset_ext.host.explaining import as_user
from superset_ext.package import package, this_app
from superset_ext.plans.indexes.building import WAIT_SECONDS, Ours
from superset_ext.plans.indexes.doing import Planned, applied, dropped, listed, planned, tried
from superset_ext.plans.indexes.trying import Verdict
from superset_ext.warm.asked_again import Requests

_WIDTH = 110
_INDENT = "   "
_MEBI = 2**20
_ROUNDS = 3
_SECONDS = 60.0


def _changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three have."""
    for option in (
        click.option("--database", metavar="NAME", required=True, help="Superset's database, by name or id."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--wait", type=click.FloatRange(min=0.1), default=WAIT_SECONDS, show_default=True,
            help="Seconds to wait for locks and for transactions that are open.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("try")
@_changing
@budget_option
@days_option
@click.option(
    "--rounds", type=click.IntRange(2), default=_ROUNDS, show_default=True, help="Runs that count, each side."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=_SECONDS, show_default=True, help="Seconds a run may take."
)
@click.option("--user", metavar="NAME", help="Ask charts as this user of Superset; else as each who asked.")
@json_option
@with_appcontext
def try_(
    database: str, yes: bool, wait: float, budget: int | None, days: int, rounds: int, timeout: float,
    user: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Build what is advised, measure it, and keep what helps.

    One index at a time is built without locking writers out. Statements of requests that were made, as whoever made
    them, of saved charts and of SQL Lab's history, one SELECT each, are run before and after, in transactions that may
    only read and are rolled back. An index is dropped again if it does not help, or if it makes any statement slower by
    over 5 %.
    """
    app, log = this_app(), package().log()
    with as_user(user) as identity, unwarned():
        plan = planned(
            app, log, database, budget, days, lambda number: Requests(app, log, number, days, identity).made()
        )
    runs = f"Runs {amount(len(plan.lives), 'statement')}, {rounds + 1} times or more for each side of an index."
    if _agreed(plan, yes, as_json, "try", runs):
        notes: list[str] = []
        _show(tried(app, log, plan, rounds, timeout, wait, notes), as_json)
        _say(as_json, notes)


@click.command()
@_changing
@budget_option
@days_option
@json_option
@with_appcontext
def apply(database: str, yes: bool, wait: float, budget: int | None, days: int, as_json: bool) -> None:
    """Build what is advised, without a trial.

    One index at a time is built without locking writers out. `superset perf indexes` says after a day what they
    brought.
    """
    app, log = this_app(), package().log()
    plan = planned(app, log, database, budget, days)
    if _agreed(plan, yes, as_json, "build", "They are not tried: costs of the planner are not time."):
        _show(applied(app, log, plan, wait), as_json)


@click.command()
@_changing
@click.argument("names", nargs=-1, metavar="INDEX…")
@json_option
@with_appcontext
def drop(database: str, yes: bool, wait: float, names: tuple[str, ...], as_json: bool) -> None:
    """Drop what `try` and `apply` have built.

    Without names, all of it. Indexes that were built otherwise are left alone.
    """
    app, log = this_app(), package().log()
    items = [item for item in listed(app, log, database) if not names or item.name in names]
    if not items and not names:
        click.echo("[]" if as_json else "Nothing was built here.")
        return
    _say(as_json, (item.drop for item in items))
    _ask(yes, as_json, "Drop these indexes?")
    results = [_dropped(item, reason, as_json) for item, reason in dropped(app, log, database, names, wait)]
    if as_json:
        _json([{"index": item.name, "dropped": reason is None, "reason": reason} for item, reason in results])


def _dropped(item: Ours, reason: str | None, as_json: bool) -> tuple[Ours, str | None]:
    _say(as_json, [f"{item.name}: {reason or 'dropped'}"])
    return item, reason


def _agreed(plan: Planned, yes: bool, as_json: bool, verb: str, warning: str) -> bool:
    """Print what would be done, and ask; whether there is anything to do.

    Raises:
        Abort: somebody said no.
    """
    _say(as_json, _wrapped(plan.notes))
    if not plan.items:
        _say(as_json, [f"{plan.database}: no index is advised."])
        if as_json:
            _json([])
        return False
    for number, (item, proposal) in enumerate(plan.items, 1):
        saved = "not costed" if proposal.seconds is None else f"saves {proposal.seconds:,.1f} s by the planner's costs"
        _say(as_json, [f"{number}. {item.create}", f"{_INDENT}{proposal.bytes / _MEBI:,.1f} MiB, {saved}"])
    _say(as_json, [warning])
    _ask(yes, as_json, f"{verb.capitalize()} {amount(len(plan.items), 'index', 'indexes')} on {plan.database}?")
    return True


def _ask(yes: bool, as_json: bool, question: str) -> None:
    if yes:
        return
    if as_json:
        raise click.UsageError("with --json nobody can be asked; say --yes")
    click.confirm(question, abort=True)


def _show(verdicts: Iterator[Verdict], as_json: bool) -> None:
    results = []
    for verdict in verdicts:
        results.append(verdict)
        _say(as_json, _of(verdict))
    standing = {one.item: one.kept for one in results}
    kept = [one for one, stands in standing.items() if stands]
    _say(
        as_json,
        [
            f"Kept: {len(kept)} of {amount(len(standing), 'index', 'indexes')}.",
            *(f"{_INDENT}{item.drop}" for item in kept),
        ],
    )
    if as_json:
        _json([_as_dict(one) for one in results])


def _of(verdict: Verdict) -> Iterator[str]:
    word = "kept" if verdict.kept else "not kept"
    yield f"{word}: {verdict.item.name}: {verdict.reason}"
    for one in verdict.changed:
        yield (f"{_INDENT}{one.live.fingerprint}: {one.before.seconds:.3f} s → {one.after.seconds:.3f} s, "
               f"{one.before.blocks} → {one.after.blocks} blocks{' SLOWER' if one.slower else ''}")  # fmt: skip


def _as_dict(verdict: Verdict) -> dict[str, Any]:
    item = verdict.item
    return {
        "index": item.name, "create": item.create, "drop": item.drop, "kept": verdict.kept, "reason": verdict.reason,
        "seconds_saved": verdict.saved,
        "statements": [
            {"fingerprint": one.live.fingerprint, "calls": one.live.calls, "seconds_before": one.before.seconds,
             "seconds_after": one.after.seconds, "blocks_before": one.before.blocks,
             "blocks_after": one.after.blocks, "slower": one.slower}
            for one in verdict.changed
        ],
    }  # fmt: skip


def _say(as_json: bool, lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=as_json)


def _json(value: Any) -> None:
    click.echo(json.dumps(value, default=str, indent=2))


def _wrapped(lines: Iterable[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, subsequent_indent=_INDENT) for line in lines]
