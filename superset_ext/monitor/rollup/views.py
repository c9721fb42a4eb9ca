"""The materialized views that the dashboards read: made from `sql/views`, and refreshed one by one."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg2 import sql

from superset_ext.core.log_database import SQL, LogDatabase
from superset_ext.core.schema import SCHEMA, SCHEMA_SECONDS
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import LogUnavailable, SchemaError
from superset_ext.host.names import Name
from superset_ext.monitor.rollup.logs import roll_up

logger = logging.getLogger(__name__)

VIEWS = SQL / "views"
REFRESH_SECONDS = 600.0
# The lock of sql/schema: whoever applies files does so alone.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.schema', 0))"
# One that somebody dropped is made again too.
_IS_MADE = """
SELECT FROM superset_ext.view_version
WHERE file = %(file)s AND (checksum = %(checksum)s OR NOT %(changed)s)
    AND to_regclass('superset_ext.' || %(view)s) IS NOT NULL
"""
# Whoever could read a view before it is made again; the rights of `PUBLIC` have no role.
_READERS = """
SELECT DISTINCT role.rolname FROM pg_class view
CROSS JOIN LATERAL aclexplode(view.relacl) AS acl JOIN pg_roles role ON role.oid = acl.grantee
WHERE view.oid = to_regclass('superset_ext.' || %s) AND acl.privilege_type = 'SELECT' AND acl.grantee <> view.relowner
"""
# A view that was just made has all that is in the rollups.
_FILLED = """
INSERT INTO superset_ext.view_refresh (view, refreshed_at) VALUES (%s, now())
ON CONFLICT (view) DO UPDATE SET refreshed_at = now(), past_version = NULL, error = NULL, failed_since = NULL
"""
_REFRESH = "SELECT (superset_ext.refresh_view(%s)).rows"
_SUCCEEDED = """
INSERT INTO superset_ext.view_refresh (view, refreshed_at, seconds, rows) VALUES (%s, now(), %s, %s)
ON CONFLICT (view) DO UPDATE SET refreshed_at = now(), seconds = excluded.seconds, rows = excluded.rows,
    error = NULL, failed_since = NULL
"""
_FAILED = """
INSERT INTO superset_ext.view_refresh AS known (view, error, failed_since) VALUES (%s, %s, now())
ON CONFLICT (view) DO UPDATE SET error = excluded.error, failed_since = coalesce(known.failed_since, now())
"""
_GONE = """
DELETE FROM superset_ext.object_name WHERE (kind, id) NOT IN (SELECT * FROM unnest(%s::text[], %s::integer[]))
"""
_NAMED = """
INSERT INTO superset_ext.object_name AS known (kind, id, name)
SELECT * FROM unnest(%s::text[], %s::integer[], %s::text[])
ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name WHERE known.name <> excluded.name
"""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How one step of a refresh went.

    Attributes:
        view: a view of `sql/views`; `rollups` or `names`, on which they stand; or a name of `beside`.
        seconds: how long it took.
        rows: rows that the view has; of `rollups` the rows of the logs that were rolled up, of `names` the names
            that Superset has. `None` where it failed.
        error: why it failed, as one line; `None` where it did not.
    """

    view: str
    seconds: float
    rows: int | None
    error: str | None = None


def view_files(folder: Path = VIEWS) -> list[Path]:
    """The numbered files, in their order.

    Raises:
        SchemaError: the folder is not there, or is empty.
    """
    files = sorted(folder.glob("[0-9][0-9]_*.sql"))
    if not files:
        raise SchemaError(f"no files in {folder}; mount the package's folder sql beside superset_ext")
    return files


def view_of(path: Path) -> str:
    """The view that a file makes: `perf_chart` of `04_chart.sql`."""
    return f"perf_{path.stem[3:]}"


def apply_views(database: LogDatabase, folder: Path = VIEWS) -> list[str]:
    """Make each view whose file is new or has changed, filled, in a transaction of its own; returns their names.

    Any number of processes may do so at once. Who could read a view may read it when it is made again.

    Raises:
        SchemaError: a file is missing or cannot be applied, as when somebody's own view reads ours.
        LogUnavailable: the database does not answer.
    """
    return [view_of(path) for path in view_files(folder) if _apply(database, path, changed=True)]


def make_missing(database: LogDatabase, folder: Path = VIEWS) -> None:
    """Make the views that are not there, those of files that have changed left as they are.

    Two versions that run side by side, as during a rolling update, would remake each other's views. Where the tables
    are those of another version, as before `superset perf upgrade`, that is a line, and what is there is refreshed.

    Raises:
        LogUnavailable: the database does not answer.
    """
    try:
        for path in view_files(folder):
            _apply(database, path, changed=False)
    except SchemaError as error:
        logger.warning("superset_ext: %s", error)


def _apply(database: LogDatabase, path: Path, changed: bool) -> bool:
    view, checksum = view_of(path), hashlib.sha256(path.read_bytes()).hexdigest()
    values = {"file": path.name, "checksum": checksum, "view": view, "changed": changed}
    try:
        with database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_LOCK)
            cursor.execute(_IS_MADE, values)
            if cursor.fetchone() is not None:
                return False
            cursor.execute(_READERS, (view,))
            readers = [name for (name,) in cursor.fetchall()]
            cursor.execute(path.read_text(encoding="utf-8"))
            for name in readers:
                cursor.execute(
                    sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(SCHEMA, view), sql.Identifier(name))
                )
            cursor.execute(query_text("view_made"), values)
            if cursor.fetchone()[0]:
                cursor.execute(_FILLED, (view,))
    except LogUnavailable as error:
        if error.sqlstate is None:
            raise
        raise SchemaError(f"views/{path.name} could not be applied: {error}") from None
    logger.info("superset_ext: made %s", view)
    return True


def refresh(
    database: LogDatabase,
    slow_ms: float,
    names: Callable[[], Iterable[Name]] | None = None,
    beside: Mapping[str, Callable[[], int]] = {},
) -> list[Refreshed]:
    """Roll up the logs, take Superset's names, and refresh each view, each step in a transaction of its own.

    A step that fails is noted in `view_refresh` and stops no other.

    Args:
        slow_ms: milliseconds from which a query counts as slow.
        names: what Superset calls its objects, all of them; `None` leaves the names as they are.
        beside: what else the dashboards show, by name; each returns its number of rows.

    Raises:
        LogUnavailable: the database does not answer at all, so that not even that can be noted.
    """
    done = [_step(database, "rollups", lambda: _rolled_up(database, slow_ms))]
    if names is not None:
        done.append(_step(database, "names", lambda: keep_names(database, names())))
    done += [_step(database, name, work) for name, work in beside.items()]
    return done + [_refresh(database, view) for view in _views(database)]


def _views(database: LogDatabase) -> list[str]:
    """The views to be refreshed, in the order of their files."""
    rows = database.rows("SELECT file FROM superset_ext.view_version WHERE materialized ORDER BY file")
    return [view_of(Path(row["file"])) for row in rows]


def _rolled_up(database: LogDatabase, slow_ms: float) -> int:
    rows = roll_up(database, slow_ms)
    return rows.cache + rows.query


def keep_names(database: LogDatabase, names: Iterable[Name]) -> int:
    """Make `object_name` what Superset says; returns how many names that are.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    known = {(kind, number): name for kind, number, name in names}
    kinds, numbers = [kind for kind, _ in known], [number for _, number in known]
    with database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_GONE, (kinds, numbers))
        cursor.execute(_NAMED, (kinds, numbers, list(known.values())))
    return len(known)


def _step(database: LogDatabase, view: str, work: Callable[[], int]) -> Refreshed:
    """Do something that views stand on, and note how it went."""
    started = time.monotonic()
    try:
        rows = work()
    except Exception as error:  # noqa: BLE001  (names may raise whatever Superset's metadata database does)
        return _failed(database, view, time.monotonic() - started, error)
    seconds = time.monotonic() - started
    with database.transaction() as cursor:
        cursor.execute(_SUCCEEDED, (view, seconds, rows))
    return Refreshed(view, seconds, rows)


def _refresh(database: LogDatabase, view: str) -> Refreshed:
    started = time.monotonic()
    try:
        with database.transaction(REFRESH_SECONDS) as cursor:
            cursor.execute(_REFRESH, (view,))
            rows = int(cursor.fetchone()[0])
    except LogUnavailable as error:
        return _failed(database, view, time.monotonic() - started, error)
    return Refreshed(view, time.monotonic() - started, rows)


def _failed(database: LogDatabase, view: str, seconds: float, error: Exception) -> Refreshed:
    reason = str(error) if isinstance(error, LogUnavailable) else f"{type(error).__name__}; see the worker's log"
    with database.transaction() as cursor:
        cursor.execute(_FAILED, (view, reason))
    logger.warning(
        "superset_ext: %s could not be refreshed: %s", view, reason, exc_info=not isinstance(error, LogUnavailable)
    )
    return Refreshed(view, seconds, None, reason)
