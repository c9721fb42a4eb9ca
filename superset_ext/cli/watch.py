"""`superset perf watch`: source tables whose changes drop cached answers as soon as they are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from flask.cli import AppGroup

from superset_ext.cli.options import json_option
from superset_ext.cli.output import NOTHING, print_table, show
from superset_ext.freshness.watch.installed import hints
from superset_ext.freshness.watch.watches import add_watches, remove_watches, watches
from superset_ext.package import package, this_app

_COLUMNS = ("database", "table", "since", "heard of", "listeners", "triggers")
NOTHING_WATCHED = "Nothing is watched; begin with: superset perf watch add DATABASE SCHEMA.TABLE."
NOTHING_ADDED = "Nothing is watched yet."


@click.group(cls=AppGroup)
def watch() -> None:
    """Choose tables whose commits drop cached answers."""


@watch.command()
@click.argument("database")
@click.argument("tables", nargs=-1, required=True, metavar="SCHEMA.TABLE…")
@click.option("--two-phase-unused", is_flag=True, help="Nobody who writes to these tables uses PREPARE TRANSACTION.")
@json_option
def add(database: str, tables: tuple[str, ...], two_phase_unused: bool, as_json: bool) -> None:
    """Watch tables of DATABASE, a PostgreSQL database.

    DATABASE is the name or id that it has in Superset. Tables are written as in SQL: "Sales" with its quotes, where a
    name is not all in lower case. A partitioned table is watched with all of its parts. If a table is locked for more
    than three seconds, nothing is done.
    """
    number, names = add_watches(database, tables, two_phase_unused)
    listed = [*map(str, names)]
    show(as_json, {"database_id": number, "watched": listed}, f"Watched: {', '.join(listed)}.")


@watch.command()
@click.argument("database")
@click.argument("tables", nargs=-1, metavar="SCHEMA.TABLE…")
@click.option("--all", "everything", is_flag=True, help="All watched tables of the database.")
@json_option
def remove(database: str, tables: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Stop watching tables of DATABASE.

    They may be gone already. Once the last one is removed, nothing is left on the source.
    """
    if bool(tables) == everything:
        raise click.UsageError("name tables, or give --all")
    number, names, advice = remove_watches(database, tables)
    if advice:
        click.echo(advice, err=True)
    listed = [*map(str, names)]
    text = f"Not watched any more: {', '.join(listed) or 'nothing was'}."
    show(as_json, {"database_id": number, "removed": listed}, text)


@watch.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show watched tables, their triggers and listeners.

    Tables that somebody watches on the source, and that were not added here, are named with the command that adds them.
    For about a second after a commit to a watched table, what its charts read is not kept: two requests then both run
    their query.
    """
    rows, unadded = watches(), hints(this_app(), package().log())
    if as_json or not rows:
        show(as_json, rows, NOTHING_ADDED if unadded else NOTHING_WATCHED)
    else:
        print_watches(rows)
    for line in unadded:
        click.echo(line, err=True)


def print_watches(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print watches as a table, and a warning if nobody listens."""
    print_table(_COLUMNS, map(_cells, rows), right=["listeners"], wrap="triggers")
    if any(row["listeners"] == 0 for row in rows):
        click.echo("Nobody listens; start: superset perf listen", err=True)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    listeners = NOTHING if row["listeners"] is None else str(row["listeners"])
    times = (_moment(row["added_at"]), _moment(row["notified_at"]))
    return row["database"], row["table"], *times, listeners, row["problem"] or "complete"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}" if at else NOTHING
