"""Takes away all that the package has made, so that Superset runs on as stock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.service import removed, sources
from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.schema import SCHEMA_SECONDS
from superset_ext.errors import SupersetExtError, WatchForbidden
from superset_ext.freshness.watch.watches import remove_watches
from superset_ext.grants.install import metadata_stamps
from superset_ext.host import permissions, worker_report
from superset_ext.host.databases import name_of
from superset_ext.host.regions import regions
from superset_ext.monitor.dashboards import installation as dashboards
from superset_ext.package import Package

_WATCHED = "SELECT DISTINCT database_id FROM superset_ext.cache_watch"
_HAS_TABLES = "SELECT to_regclass('superset_ext.cache_watch') IS NOT NULL AS has_tables"
_BY_HAND = 'psql "$SOURCE" -f sql/watch/uninstall.sql'
_AGGREGATES_BY_HAND = (
    'psql "$SOURCE" -f sql/aggregates/uninstall.sql (of a DuckDB file, take the folder away that begins with its name)'
)
_DROP = "DROP SCHEMA superset_ext CASCADE"
REPLY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was to be removed.

    Attributes:
        text: its name; where it was left, the whole sentence that says why.
        removed: whether it is gone.
    """

    text: str
    removed: bool = True


def running_workers() -> list[str]:
    """Names of the Celery workers that run with the package."""
    try:
        reports = worker_report.reports(REPLY_SECONDS)
    except Exception:  # noqa: BLE001  (kombu raises what its transport does; without a broker no worker works)
        return []
    return [name for name, report in reports.items() if report.get("switched_on")]


def uninstall(app: Any, package: Package) -> Iterator[Step]:
    """Remove watches, aggregates, dashboards, permissions, cached entries and the log.

    What cannot be removed stops nothing else.
    Needs the app's context. It removes as it is iterated. Where the log's tables were never made, or are gone, so are
    watches and dashboards.
    """
    if package.recorder is not None:
        package.recorder.stop()
    database = _with_tables(package.database)
    if database is not None:
        yield from _remove_watches(database)
        yield from _remove_aggregates(app, database)
        assets = dashboards.remove(app, database)
        yield Step(f"{len(assets)} dashboards, charts, datasets and their database")
    yield Step(f"{permissions.remove()} permissions")
    yield from _remove_triggers(app)
    yield from _erase_regions(app)
    if database is not None:
        with database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_DROP)
        yield Step("the schema superset_ext")


def _with_tables(database: LogDatabase | None) -> LogDatabase | None:
    """The log database, if the log's tables are there."""
    return database if database is not None and database.rows(_HAS_TABLES)[0]["has_tables"] else None


def _remove_watches(database: LogDatabase) -> Iterator[Step]:
    for row in database.rows(_WATCHED):
        number = int(row["database_id"])
        try:
            _, names, _ = remove_watches(str(number))
        except WatchForbidden:
            who = "belong to another role of that database, and harm nobody. To remove them, run as that role"
            yield Step(f"The watches of {name_of(number)} {who}: {_BY_HAND}", removed=False)
        except SupersetExtError as error:
            later = f"are left, since it could not be asked ({error}). When it can, run there: {_BY_HAND}"
            yield Step(f"The watches of {name_of(number)} {later}", removed=False)
        else:
            yield Step(f"watches of {', '.join(map(str, names))}")


def _remove_aggregates(app: Any, database: LogDatabase) -> Iterator[Step]:
    for number in sources(database):
        try:
            names = removed(app, database, number)
        except SupersetExtError as error:
            later = f"are left ({error}). When nothing is in the way, run there: {_AGGREGATES_BY_HAND}"
            yield Step(f"The aggregates of {name_of(number)} {later}", removed=False)
        else:
            yield Step(f"aggregates of {name_of(number)}: {', '.join(names) or 'none'}")


def _remove_triggers(app: Any) -> Iterator[Step]:
    """Take the triggers of grants from the metadata database, also where the setting is off by now."""
    try:
        removed = metadata_stamps(app).uninstall()
    except Exception as error:  # noqa: BLE001  (of SQLAlchemy or the driver, whichever it is)
        why = first_line(error)
        left = f"The triggers of grants are left ({why}). Run sql/grants/uninstall.sql on Superset's database."
        yield Step(left, removed=False)
    else:
        if removed:
            yield Step("the triggers of grants")


def _erase_regions(app: Any) -> Iterator[Step]:
    for name, cache in regions(app).items():
        if cache.erase():
            yield Step(f"the entries of {name}")
        else:
            yield Step(f"The entries of {name} are left, since its Redis does not answer.", removed=False)
