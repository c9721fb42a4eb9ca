"""`superset perf status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.cache.heard import PATIENCE
from superset_ext.cli.options import json_option
from superset_ext.cli.output import NOTHING, print_table, show
from superset_ext.core.amount import amount
from superset_ext.host.databases import names_by_id
from superset_ext.host.regions import HELD
from superset_ext.monitor import report
from superset_ext.package import package, this_app
from superset_ext.settings import PREFIX

_COLUMNS = ("region", "server", "reached", "memory", "policy", "hits 24 h", "misses 24 h", "hit ratio")
_NUMBERS = ("reached", "memory", "hits 24 h", "misses 24 h", "hit ratio")


@click.command()
@with_appcontext
@json_option
def status(as_json: bool) -> None:
    """Show each cache: its server, memory, and hits of the last day.

    Where tables are watched, a line for each database says when its listener was last heard.
    """
    here = package()
    rows = report.status(this_app(), here.database, here.settings)
    watched = report.watched(this_app(), here.database)
    names = names_by_id(str(this_app().config.get("SQLALCHEMY_DATABASE_URI"))) if watched else {}
    if as_json:
        show(
            True,
            {"regions": rows, "watched": watched}
            | ({} if HELD in this_app().extensions else {"left_alone": here.left_alone}),
            "",
        )
    else:
        print_table(_COLUMNS, map(_cells, rows), right=_NUMBERS)
        if here.database is None:
            click.echo(f"Hits and misses are not counted: there is no log database; set {PREFIX}LOG_DATABASE_URL")
        for row in watched:
            click.echo(_listening(row, names.get(row["database_id"])))
    if not all(row["reachable"] for row in rows):
        raise click.ClickException("a region does not reach its Redis; check SUPERSET_EXT_REDIS_URL and the server")


def _listening(row: Mapping[str, Any], name: str | None) -> str:
    seconds = row["heard_seconds_ago"]
    subject = (
        f"Watched: {amount(row['tables'], 'table')} of {name or 'database'} (id {row['database_id']}); its listener was"
    )
    if seconds is not None and seconds <= PATIENCE:
        return f"{subject} heard {max(seconds, 0.0):.0f} s ago."
    last = "never heard" if seconds is None else f"last heard {seconds:.0f} s ago, so charts on them are not kept"
    return f"{subject} {last}; start: superset perf listen"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    memory = f"{row['used_memory'] / 1024**2:.1f} MiB" if row["reachable"] else NOTHING
    ratio = NOTHING if row["hit_ratio"] is None else f"{row['hit_ratio']:.1%}"
    reached = "yes" if row["reachable"] else "no"
    return (
        row["region"], row["server"], reached, memory, row["policy"] or NOTHING,
        *(NOTHING if row[name] is None else str(row[name]) for name in ("hits", "misses")), ratio,
    )  # fmt: skip
