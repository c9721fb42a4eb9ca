"""The log database: its engine, its schema from `sql/schema`, its named queries from `sql/queries`.

Nothing connects before the first statement, and nothing is left behind in a session (limits are
`SET LOCAL`), so that it works through a transaction pooler. A forked child gets connections of
its own.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from superset_ext.core.sql_folder import sql_folder
from superset_ext.errors import LogUnavailable, SchemaError
from superset_ext.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

SQL = sql_folder()
SCHEMA = "superset_ext"
# A server that is gone without a word is noticed in about five seconds; one that is there answers in time.
CONNECT = {
    "connect_timeout": 5,
    "application_name": SCHEMA,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
STATEMENT_SECONDS = 5.0
SCHEMA_SECONDS = 120.0
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.schema', 0))"
_LIMITS = "SET LOCAL statement_timeout = {ms}; SET LOCAL search_path = {schema}, public"
_DAYS_LEFT = "SELECT superset_ext.create_day_partition(%s, superset_ext.utc_today() + ahead) FROM unnest(%s) AS ahead"


def log_url(settings: Settings, metadata_uri: str) -> str | None:
    """The URL of the log database: the one that is set, or the metadata database where that is PostgreSQL."""
    if settings.log_database_url:
        return settings.log_database_url
    try:
        name = make_url(metadata_uri).get_backend_name()
    except ArgumentError:
        return None
    return metadata_uri if name == "postgresql" else None


class LogDatabase:
    """The PostgreSQL database of the log tables.

    Args:
        url: SQLAlchemy URL; it is never repeated in a message.
        sql: folder with `schema` and `queries`.
    """

    def __init__(self, url: str, sql: Path = SQL) -> None:
        self._url = url
        self._sql = sql
        self._engine: Engine | None = None
        self._making = threading.Lock()
        _databases.add(self)

    @property
    def engine(self) -> Engine:
        """The engine of this process, made at first use.

        Raises:
            LogUnavailable: psycopg2 is not installed.
        """
        with self._making:
            if self._engine is None:
                self._engine = self._make_engine()
            return self._engine

    def _make_engine(self) -> Engine:
        try:
            return create_engine(
                self._url, connect_args=CONNECT, pool_size=1, max_overflow=2, pool_pre_ping=True, pool_recycle=300
            )
        except ModuleNotFoundError as error:
            raise LogUnavailable(
                "the log database needs psycopg2; run: pip install psycopg2-binary", type(error).__name__
            ) from None

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[Any]:
        """A psycopg2 cursor in one transaction, whose statements and waits may each take `seconds`, five by default.

        Raises:
            LogUnavailable: the database does not answer or refused a statement; everything is rolled
                back, unless the connection was lost during the commit itself.
        """
        engine, limit = self.engine, STATEMENT_SECONDS if seconds is None else seconds
        try:
            with engine.connect() as connection, connection.begin(), connection.connection.cursor() as cursor:
                cursor.execute(_LIMITS.format(ms=int(limit * 1000), schema=SCHEMA))
                yield cursor
        except (SQLAlchemyError, engine.dialect.dbapi.Error) as error:
            raise _unavailable(error) from None

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, by column name, with `superset_ext` first on the search path.

        Raises:
            LogUnavailable: see `transaction`.
        """
        with self.transaction() as cursor:
            cursor.execute(sql, parameters)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def query(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of `sql/queries/<name>.sql`.

        Raises:
            SchemaError: there is no such file.
            LogUnavailable: see `transaction`.
        """
        path = self._sql / "queries" / f"{name}.sql"
        if not path.is_file():
            raise SchemaError(f"{path} is missing; mount the package's folder sql beside superset_ext")
        return self.rows(path.read_text(encoding="utf-8"), parameters)

    def schema_files(self) -> list[Path]:
        """The numbered files, in their order.

        Raises:
            SchemaError: the folder is not there, or is empty.
        """
        files = sorted((self._sql / "schema").glob("[0-9][0-9]_*.sql"))
        if not files:
            raise SchemaError(
                f"no schema files in {self._sql / 'schema'}; mount the package's folder sql beside superset_ext"
            )
        return files

    def apply_schema(self) -> list[str]:
        """Apply each file that is not applied yet, in a transaction of its own; returns their names.

        Any number of processes may do so at once: the first one works, the others wait and find it done.

        Raises:
            SchemaError: a file was changed after it was applied, cannot be applied, or is missing.
            LogUnavailable: the database does not answer.
        """
        applied = [path.name for path in self.schema_files() if self._apply(path)]
        with self.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_DAYS_LEFT, ("cache_performance_log", [0, 1]))
        return applied

    def _apply(self, path: Path) -> bool:
        checksum = _checksum(path)
        try:
            with self.transaction(SCHEMA_SECONDS) as cursor:
                cursor.execute(_LOCK)
                if _is_applied(cursor, path.name, checksum):
                    return False
                cursor.execute(path.read_text(encoding="utf-8"))
                cursor.execute(
                    "INSERT INTO superset_ext.schema_version (file, checksum) VALUES (%s, %s)", (path.name, checksum)
                )
        except LogUnavailable as error:
            if error.sqlstate is None:
                raise
            raise SchemaError(f"{path.name} could not be applied: {error}") from None
        logger.info("superset_ext: applied %s", path.name)
        return True

    def pending(self) -> list[str]:
        """The files that are not applied yet.

        Raises:
            SchemaError: a file was changed after it was applied.
            LogUnavailable: see `transaction`.
        """
        with self.transaction() as cursor:
            return [path.name for path in self.schema_files() if not _is_applied(cursor, path.name, _checksum(path))]

    def close(self) -> None:
        """Close the connections; the next statement opens new ones."""
        if self._engine is not None:
            self._engine.dispose()

    def forget_connections(self) -> None:
        """In a forked child: leave the parent's connections alone and have none.

        The engine goes as a whole: one of its locks may have been held at the fork. psycopg2 does not close
        a connection that another process has opened.
        """
        self._making = threading.Lock()
        self._engine = None


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_applied(cursor: Any, name: str, checksum: str) -> bool:
    """Whether a file is applied.

    Raises:
        SchemaError: it is, with other content.
    """
    cursor.execute("SELECT FROM pg_tables WHERE schemaname = 'superset_ext' AND tablename = 'schema_version'")
    if cursor.fetchone() is None:
        return False
    cursor.execute("SELECT checksum FROM superset_ext.schema_version WHERE file = %s", (name,))
    found = cursor.fetchone()
    if found is not None and found[0] != checksum:
        raise SchemaError(f"{name} was changed after it was applied; restore it, and put the change into a new file")
    return found is not None


def _unavailable(error: Exception) -> LogUnavailable:
    """The driver's error as one line, with the fix; the driver never repeats a password."""
    driver = getattr(error, "orig", None) or error
    sqlstate = getattr(driver, "pgcode", None)
    lines = str(driver).strip().splitlines()
    reason = lines[0] if lines else type(driver).__name__
    return LogUnavailable(f"{reason}; {_fix(sqlstate)}", type(driver).__name__, sqlstate)


def _fix(sqlstate: str | None) -> str:
    if sqlstate is None:
        return f"check that the log database runs and is the one of {PREFIX}LOG_DATABASE_URL"
    if sqlstate == "42501":
        return "let the role make its schema: GRANT CREATE ON DATABASE … TO …"
    if sqlstate in MISSING:
        return "run: superset perf upgrade"
    return "see the log database's own log"


# A schema, table, column or function that is not there: the files of sql/schema are not (all) applied.
MISSING = frozenset({"3F000", "42P01", "42703", "42883"})

_databases: weakref.WeakSet[LogDatabase] = weakref.WeakSet()


def _after_fork() -> None:
    for database in _databases:
        database.forget_connections()


os.register_at_fork(after_in_child=_after_fork)
