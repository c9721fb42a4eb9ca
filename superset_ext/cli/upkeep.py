"""`superset perf upkeep`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click
from flask.cli import AppGroup, with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.package import this_app
from superset_ext.plans.upkeep import act
from superset_ext.plans.upkeep.check import Finding
from superset_ext.plans.upkeep.checks import CHECKS
from superset_ext.plans.upkeep.report import SourceUpkeep, upkeep_of

_WIDTH = 110
_INDENT = "   "
_KINDS = tuple(sorted(check.kind for check in CHECKS))


@click.group(cls=AppGroup, invoke_without_command=True)
@click.option("--database", metavar="NAME", help="Superset's database, by name or id; else all of them.")
@json_option
@click.pass_context
@with_appcontext
def upkeep(context: click.Context, database: str | None, as_json: bool) -> None:
    """Show what PostgreSQL sources need, and run what is safe.

    Statistics, vacuum, room, locks, sequences, connections, settings, partitions: the most urgent first. The source is
    only read, as Superset's role; what that role may not see is said.
    """
    if context.invoked_subcommand is not None:
        return
    results = upkeep_of(this_app(), database)
    text = "\n\n".join(_of_source(result) for result in results)
    show(as_json, [result.as_dict() for result in results], text or "Superset has no PostgreSQL database to look at.")


@upkeep.command()
@click.argument("database", metavar="DATABASE")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="Only what this check found.")
@click.option("--yes", is_flag=True, help="Run it; without, the statements are printed.")
@click.option("--timeout", type=click.IntRange(1), default=600, show_default=True, help="Seconds each may take.")
@json_option
def run(database: str, kinds: tuple[str, ...], yes: bool, timeout: int, as_json: bool) -> None:
    """Run ANALYZE, VACUUM and REINDEX CONCURRENTLY where advised.

    DATABASE is looked at anew. These statements block neither readers nor writers; nothing else is ever run.
    """
    (result,) = upkeep_of(this_app(), database)
    findings = result.upkeep.findings if result.upkeep else ()
    commands = act.actions([finding for finding in findings if not kinds or finding.kind in kinds])
    if not yes or not commands:
        hint = f"\n\nNothing was run; add --yes to run {'it' if len(commands) == 1 else 'these'}."
        show(as_json, {"would_run": commands}, "\n".join(commands) + hint if commands else "Nothing is to be run.")
        return
    done = []
    for item in act.run(this_app(), result.number, commands, timeout):
        done.append(item)
        if not as_json:
            click.echo(f"{item.command}: {item.error or 'done'}")
    if as_json:
        show(True, [item.as_dict() for item in done], "")
    if failed := [item for item in done if item.error]:
        raise click.ClickException(f"{len(failed)} of {len(done)} statements failed")


def _of_source(result: SourceUpkeep) -> str:
    if result.upkeep is None:
        return f"{result.database}: {result.error}"
    head = f"{result.database}: {len(result.upkeep.findings) or 'nothing'} to look at"
    parts = [_paragraph(number, finding) for number, finding in enumerate(result.upkeep.findings, 1)]
    unseen = [_filled(f"- {item.kind}: {item.reason}", "  ") for item in result.upkeep.unseen]
    return "\n\n".join([head, *parts, *(["\n".join(["Not seen:", *unseen])] if unseen else [])])


def _paragraph(number: int, finding: Finding) -> str:
    lines = [
        _filled(f"{number}. {finding.severity}: {finding.evidence} [{finding.kind}]", _INDENT),
        *_what_to_do(finding),
    ]
    return "\n".join(lines)


def _what_to_do(finding: Finding) -> Iterator[str]:
    yield _filled(f"Do: {finding.advice}", _INDENT, _INDENT)
    if finding.command:
        yield f"{_INDENT}{finding.command};"


def _filled(line: str, following: str, first: str = "") -> str:
    return textwrap.fill(line, _WIDTH, initial_indent=first, subsequent_indent=following)
