"""`superset perf watch` and `superset perf listen`: source tables whose changes are heard of at their commit."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.errors import SupersetExtError
from superset_ext.freshness.watch.service import listener
from superset_ext.freshness.watch.watches import add_watches, remove_watches, watches
from superset_ext.package import package, this_app


@click.group()
def watch() -> None:
    """Source tables whose changes drop what is cached, at their commit."""


@watch.command()
@with_appcontext
@click.argument("database")
@click.argument("tables", nargs=-1, required=True, metavar="SCHEMA.TABLE…")
@click.option("--two-phase-unused", is_flag=True, help="Nobody who writes to these tables uses PREPARE TRANSACTION.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(database: str, tables: tuple[str, ...], two_phase_unused: bool, as_json: bool) -> None:
    """Watch tables of DATABASE, Superset's name or id of a PostgreSQL database.

    Names are written as in SQL: "Sales" with its quotes, where a name is not all in lower case. A partitioned table is
    watched with all of its parts. If a table is locked for more than three seconds, nothing is done.
    """
    number, names = _clear(lambda: add_watches(database, tables, two_phase_unused))
    _echo(as_json, {"database_id": number, "watched": [*map(str, names)]}, f"Watched: {', '.join(map(str, names))}.")


@watch.command()
@with_appcontext
@click.argument("database")
@click.argument("tables", nargs=-1, metavar="SCHEMA.TABLE…")
@click.option("--all", "everything", is_flag=True, help="All watched tables of the database.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def remove(database: str, tables: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Watch tables of DATABASE no longer, also such that are gone; with the last one, nothing is left on the source."""
    if bool(tables) == everything:
        raise click.UsageError("name tables, or give --all")
    number, names, message = _clear(lambda: remove_watches(database, tables))
    if message:
        click.echo(message, err=True)
    text = f"Not watched any more: {', '.join(map(str, names)) or 'nothing was'}."
    _echo(as_json, {"database_id": number, "removed": [*map(str, names)]}, text)


@watch.command("list")
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """What is watched, whether its triggers are all there, and when it was last heard to have changed."""
    rows = _clear(watches)
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
    elif rows:
        _print(rows)
    else:
        click.echo("Nothing is watched; begin with: superset perf watch add DATABASE SCHEMA.TABLE")


@click.command()
@with_appcontext
def listen() -> None:
    """Listen to the databases that have watched tables, until SIGTERM or Ctrl-C; one such process is enough."""
    running = listener(this_app(), _clear(lambda: package().log()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stop())
    click.echo("Listening; Ctrl-C ends it.")
    running.run()


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("database", "table", "since", "heard of", "listeners", "triggers"):
        table.add_column(name, no_wrap=name != "triggers", justify="right" if name == "listeners" else "left")
    for row in rows:
        count = "–" if row["listeners"] is None else str(row["listeners"])
        times = (_clock(row["added_at"]), _clock(row["notified_at"]))
        table.add_row(row["database"], row["table"], *times, count, row["problem"] or "whole")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if any(row["listeners"] == 0 for row in rows):
        click.echo("Nobody listens; start: superset perf listen", err=True)


def _clock(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "–"


def _echo(as_json: bool, said: Mapping[str, Any], text: str) -> None:
    click.echo(json.dumps(said) if as_json else text)


def _clear(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None
