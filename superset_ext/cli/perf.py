"""`superset perf …`: thin commands over the package's own verbs."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from superset_ext.cache.tags import ANY
from superset_ext.cli import dashboards, uninstall
from superset_ext.cli import monitor as monitoring
from superset_ext.cli import warm as warming
from superset_ext.cli import watch as watching
from superset_ext.errors import SupersetExtError
from superset_ext.freshness.request import invalidate as tell
from superset_ext.freshness.resolve import Names, TableName
from superset_ext.monitor.log.retention import maintain
from superset_ext.monitor.report import status as region_status
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.package import EXTENSION, Package
from superset_ext.settings import OPERATIONS, TARGETS, Operation, Targets


class Commands(AppGroup):
    """Commands that end with one line where the package raises an error of its own."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SupersetExtError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands)
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
    applied = [*_clear(database.apply_schema), *_clear(lambda: apply_views(database))]
    told = dashboards.upgrade(_package()) if _package().settings.dashboards else []
    _clear(lambda: maintain(database, _package().settings))
    if as_json:
        click.echo(json.dumps({"applied": applied, "dashboards": told}))
    else:
        click.echo("\n".join([f"Log database: {_what(applied)}.", *told]))


@perf.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Each cache region: its server, its memory, its hits and misses of the last day."""
    package = _package()
    rows = _clear(lambda: region_status(current_app, package.database, package.settings))
    if as_json:
        click.echo(json.dumps({"regions": rows, "left_alone": package.left_alone}, indent=2))
    else:
        _print(rows)
    if not all(row["reachable"] for row in rows):
        raise click.ClickException("a region does not reach its Redis; check SUPERSET_EXT_REDIS_URL and the server")


def _numbers(_context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[int, ...] | str:
    """`all`, or ids, in one list or in several."""
    words = [word for part in value for word in part.replace(",", " ").split()]
    if option.name == "dashboards" and words == ["all"]:
        return "all"
    try:
        return tuple(int(word) for word in words)
    except ValueError:
        raise click.BadParameter(f"{' '.join(words)!r} is no list of ids") from None


@perf.command()
@with_appcontext
@click.option("--dashboards", multiple=True, callback=_numbers, metavar="all|ID,…", help="Dashboards.")
@click.option("--charts", multiple=True, callback=_numbers, metavar="ID,…", help="Charts.")
@click.option("--datasets", multiple=True, callback=_numbers, metavar="ID,…", help="What is asked of datasets.")
@click.option("--tags", multiple=True, metavar="NAME", help="Dashboards, charts and datasets with a tag.")
@click.option("--target", "targets", multiple=True, type=click.Choice(TARGETS), help="What is used most.")
@click.option("--limit", type=click.IntRange(1), help="How many of what is used most.")
@click.option("--budget-seconds", type=click.FloatRange(0, min_open=True), help="Seconds of queries to spend.")
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests at a time.")
@click.option("--per-database", type=click.IntRange(1, 256), help="Requests at a time to one source database.")
@click.option("--batch-size", type=click.IntRange(1, 1000), help="Items that a worker takes at a time.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds that one item may take.")
@click.option("--wait", is_flag=True, help="Show the progress, and end when the run does.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def warm(wait: bool, as_json: bool, **named: Any) -> None:
    """Warm charts beforehand; without a target, show the schedules and the last runs."""
    package = _package()
    if package.database is None:
        raise click.ClickException("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    options = _options(named)
    if options.is_empty():
        warming.show(package.database, package.settings, as_json)
    else:
        _clear(lambda: warming.run(package.database, package.settings, options, wait, as_json))


def _tables(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> list[TableName]:
    """DATABASE.SCHEMA.TABLE or DATABASE.TABLE; a part that has a dot is given with --json instead of here."""
    found = []
    for each in value:
        parts = each.split(".")
        if len(parts) not in (2, 3) or not all(parts):
            raise click.BadParameter(f"{each!r} is no table; write DATABASE.SCHEMA.TABLE")
        found.append(TableName(parts[0], parts[-1], parts[1] if len(parts) == 3 else None))
    return found


@perf.command()
@with_appcontext
@click.option("--table", "tables", multiple=True, callback=_tables, metavar="DATABASE.SCHEMA.TABLE", help="Tables.")
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Databases, all of their tables.")
@click.option("--datasets", multiple=True, callback=_numbers, metavar="ID,…", help="Datasets.")
@click.option("--charts", multiple=True, callback=_numbers, metavar="ID,…", help="Charts.")
@click.option("--dashboards", multiple=True, callback=_numbers, metavar="ID,…", help="Dashboards.")
@click.option("--key", "keys", multiple=True, metavar="PATTERN", help="Cache keys, with * and ?.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--operation", type=click.Choice(OPERATIONS), default="data_update", help="What was done.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def invalidate(keys: tuple[str, ...], operation: Operation, as_json: bool, **names: Any) -> None:
    """Say what changed: nothing that was read before is served any more."""
    _package()
    if "all" in names["dashboards"]:
        raise click.BadParameter("name dashboards by id, or give --all", param_hint="--dashboards")
    what = Names(**names)
    if what == Names(tables=[]) and not keys:
        raise click.UsageError("nothing is named; name tables, databases, datasets, charts, dashboards, keys, or --all")
    tags, stamped_at, deleted = _clear(lambda: tell(what, keys, "cli", operation, time.time()))
    said = {"tags": tags, "stamped_at": stamped_at, "keys_deleted": deleted}
    click.echo(json.dumps(said) if as_json else _told(tags, deleted))


def _told(tags: tuple[str, ...], deleted: int | None) -> str:
    lines = [f"Nothing older is served of: {', '.join(tag for tag in tags if tag != ANY)}."] if tags else []
    return "\n".join([*lines, f"{deleted} entries deleted."] if deleted is not None else lines)


def _options(named: dict[str, Any]) -> Targets:
    given = {name: value for name, value in named.items() if value not in (None, ())}
    if given.get("dashboards") == "all":
        given = {**given, "all_dashboards": True, "dashboards": ()}
    return Targets(**given)


perf.add_command(watching.watch)
perf.add_command(watching.listen)
perf.add_command(monitoring.refresh)
perf.add_command(monitoring.recommend)
perf.add_command(monitoring.alerts)
perf.add_command(dashboards.dashboards)
perf.add_command(uninstall.uninstall)


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
