"""`superset perf …`: thin commands over the package's own verbs."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.cache.region import RegionCache
from superset_ext.cache.topology import safe_url
from superset_ext.errors import SupersetExtError
from superset_ext.install import EXTENSION, Package, regions
from superset_ext.monitor.retention import maintain

LAST_DAY = (
    "SELECT cache_type, SUM(cache_hits) AS hits, SUM(cache_misses) AS misses FROM superset_ext.cache_performance_log"
    " WHERE created_at >= now() - interval '1 day' GROUP BY cache_type"
)


@click.group()
def perf() -> None:
    """Caches and their log."""


@perf.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def upgrade(as_json: bool) -> None:
    """Bring the log database's tables up to date; safe to run at any time."""
    database = _package().database
    if database is None:
        raise click.ClickException("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    applied = _clear(database.apply_schema)
    _clear(lambda: maintain(database, _package().settings))
    click.echo(json.dumps({"applied": applied}) if as_json else f"Log database: {_what(applied)}.")


@perf.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Each cache region: its server, its memory, its hits and misses of the last day."""
    package = _package()
    counts = _counts(package)
    rows = [_row(package, name, cache, counts.get(name, (0, 0))) for name, cache in regions(current_app).items()]
    if as_json:
        click.echo(json.dumps({"regions": rows, "left_alone": package.left_alone}, indent=2))
    else:
        _print(rows)
    if not all(row["reachable"] for row in rows):
        raise click.ClickException("a region does not reach its Redis; check SUPERSET_EXT_REDIS_URL and the server")


def _package() -> Package:
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise click.ClickException("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    return package  # type: ignore[no-any-return]


def _clear(verb: Any) -> Any:
    try:
        return verb()
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None


def _what(applied: list[str]) -> str:
    return f"applied {', '.join(applied)}" if applied else "up to date"


def _counts(package: Package) -> dict[str, tuple[int, int]]:
    database = package.database
    if database is None:
        return {}
    rows = _clear(lambda: database.rows(LAST_DAY))
    return {row["cache_type"]: (int(row["hits"] or 0), int(row["misses"] or 0)) for row in rows}


def _row(package: Package, name: str, cache: RegionCache, counts: tuple[int, int]) -> dict[str, Any]:
    info = cache.server_info()
    hits, misses = counts
    return {
        "region": name,
        "server": safe_url(package.settings.region_url(name)),
        "reachable": info is not None,
        "used_memory": info.used_memory if info else None,
        "policy": info.policy if info else None,
        "hits": hits,
        "misses": misses,
        "hit_ratio": round(hits / (hits + misses), 4) if hits + misses else None,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    """A table; what reads a pipe has no width of its own."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("region", "server", "reached", "memory", "policy", "hits 24 h", "misses 24 h", "hit ratio"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("region", "server", "policy") else "right")
    for row in rows:
        table.add_row(*_cells(row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    memory = f"{row['used_memory'] / 1024**2:.1f} MiB" if row["reachable"] else "–"
    ratio = "–" if row["hit_ratio"] is None else f"{row['hit_ratio']:.1%}"
    reached = "yes" if row["reachable"] else "no"
    return (
        row["region"], row["server"], reached, memory, row["policy"] or "–",
        str(row["hits"]), str(row["misses"]), ratio,
    )  # fmt: skip
