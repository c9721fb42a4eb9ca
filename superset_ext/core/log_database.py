"""The log database: its connections, and its named queries from `sql/queries`.

Nothing connects before the first statement, and nothing is left behind in a session (limits are
`SET LOCAL`), so that it works through a transaction pooler. A forked child gets connections of
its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolIsEmpty
from sqlalchemy.pool import NullPool

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.schema import SCHEMA, Schema
from superset_ext.core.sql_folder import query_text, sql_folder
from superset_ext.errors import LogUnavailable
from superset_ext.settings import PREFIX, Settings

SQL = sql_folder()
# A server that is gone without a word is noticed in about five seconds; one that is there answers in time.
CONNECT = {
    "connect_timeout": 5,
    "application_name": SCHEMA,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# Of `create_engine`'s options, those that say how a connection is made, and whether it is kept.
_CONNECTING = frozenset({"connect_args", "creator", "module", "plugins", "pool_recycle", "pool_pre_ping"})
STATEMENT_SECONDS = 5.0
# SQLSTATEs of a schema, table, column or function that is not there: the files of sql/schema are not (all) applied.
MISSING = frozenset({"3F000", "42P01", "42703", "42883"})
_LIMITS = "SET LOCAL statement_timeout = {ms}; SET LOCAL search_path = {schema}, public"


def log_of(settings: Settings, config: Mapping[str, Any]) -> LogDatabase | None:
    """The log database of an app's config; `None` where it has none."""
    url = log_url(settings, str(config["SQLALCHEMY_DATABASE_URI"]))
    if url is None:
        return None
    return LogDatabase(url, options=connect_options(settings, config.get("SQLALCHEMY_ENGINE_OPTIONS")))


def log_url(settings: Settings, metadata_uri: str) -> str | None:
    """The URL of the log database: the one that is set, or the metadata database where that is PostgreSQL."""
    if settings.log_database_url:
        return settings.log_database_url
    try:
        name = make_url(metadata_uri).get_backend_name()
    except ArgumentError:
        return None
    return metadata_uri if name == "postgresql" else None


def connect_options(settings: Settings, engine_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of Superset's `SQLALCHEMY_ENGINE_OPTIONS` holds for the log too: how one connects, where that is the same.

    Pools are each engine's own. A log with a URL of its own has nothing to do with the metadata database.
    """
    if settings.log_database_url:
        return {}
    theirs = engine_options or {}
    options = {name: value for name, value in theirs.items() if name in _CONNECTING}
    return {**options, "poolclass": NullPool} if theirs.get("poolclass") is NullPool else options


class LogDatabase:
    """The PostgreSQL database of the log tables.

    Args:
        url: SQLAlchemy URL; it is never repeated in a message.
        sql: folder with `schema` and `queries`.
        options: of SQLAlchemy's `create_engine`, see `connect_options`; they win over ours.

    Raises:
        LogUnavailable: whatever is asked of it, when it does not answer or refuses a statement.
    """

    def __init__(self, url: str, sql: Path = SQL, options: Mapping[str, Any] | None = None) -> None:
        self._url = url
        self._sql = sql
        self._options = dict(options or {})
        self._schema = Schema(sql / "schema", self.transaction)
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no engine.

        The engine goes as a whole: one of its locks may have been held at the fork. psycopg2 does not close
        a connection that another process has opened.
        """
        self._making = threading.Lock()
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine of this process, made at first use."""
        with self._making:
            if self._engine is None:
                self._engine = self._make_engine()
            return self._engine

    def _make_engine(self) -> Engine:
        ours = {
            "pool_size": 1, "max_overflow": 2, "pool_timeout": STATEMENT_SECONDS, "pool_pre_ping": True,
            "pool_recycle": 300,
        }  # fmt: skip
        options = {**ours, **self._options, "connect_args": {**CONNECT, **(self._options.get("connect_args") or {})}}
        if options.get("poolclass") is NullPool:  # which has no size
            options = {name: value for name, value in options.items() if not name.startswith(("pool_", "max_"))}
        try:
            return create_engine(self._url, **options)
        except ModuleNotFoundError as error:
            raise LogUnavailable(
                "the log database needs psycopg2; run: pip install psycopg2-binary", type(error).__name__
            ) from None

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[Any]:
        """A psycopg2 cursor in one transaction, whose statements and waits may each take `seconds`, five by default.

        Raises:
            LogUnavailable: as above; everything is rolled back, unless the connection was lost during the commit.
        """
        engine, limit = self.engine, STATEMENT_SECONDS if seconds is None else seconds
        try:
            with engine.connect() as connection, connection.begin(), connection.connection.cursor() as cursor:
                cursor.execute(_LIMITS.format(ms=int(limit * 1000), schema=SCHEMA))
                yield cursor
        except (SQLAlchemyError, engine.dialect.dbapi.Error) as error:
            raise _unavailable(error) from None

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, by column name, with `superset_ext` first on the search path."""
        with self.transaction() as cursor:
            cursor.execute(sql, parameters)
            return all_rows(cursor)

    def query(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of `sql/queries/<name>.sql`.

        Raises:
            SchemaError: there is no such file.
        """
        return self.rows(self.statement(name), parameters)

    def statement(self, name: str) -> str:
        """The text of `sql/queries/<name>.sql`, for a transaction of the caller's.

        Raises:
            SchemaError: there is no such file.
        """
        return query_text(name, self._sql)

    def apply_schema(self) -> list[str]:
        """Apply the schema files that are not applied yet, and return their names; see `Schema.apply`.

        Raises:
            SchemaError: see `Schema`.
        """
        return self._schema.apply()

    def pending(self) -> list[str]:
        """The names of the schema files that are not applied yet.

        Raises:
            SchemaError: a file was changed after it was applied.
        """
        return self._schema.pending(STATEMENT_SECONDS)

    def close(self) -> None:
        """Close the connections; the next statement opens new ones."""
        if self._engine is not None:
            self._engine.dispose()


def all_rows(cursor: Any) -> list[dict[str, Any]]:
    """The rows that the last statement has left, by column name."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def next_row(cursor: Any) -> dict[str, Any] | None:
    """The next row by column name, or `None` if there is none."""
    row = cursor.fetchone()
    return None if row is None else {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _unavailable(error: Exception) -> LogUnavailable:
    """The driver's error as one line, with the fix."""
    if isinstance(error, PoolIsEmpty):
        busy = "all of this process's connections to the log database are in use; see what they wait for there, in"
        return LogUnavailable(f"{busy} pg_stat_activity", type(error).__name__)
    driver = driver_error(error)
    sqlstate = getattr(driver, "pgcode", None)
    return LogUnavailable(f"{first_line(error)}; {_fix(sqlstate)}", type(driver).__name__, sqlstate)


def _fix(sqlstate: str | None) -> str:
    if sqlstate is None:
        return f"check that the log database runs and is the one of {PREFIX}LOG_DATABASE_URL"
    if sqlstate == "42501":
        return "let the role make its schema: GRANT CREATE ON DATABASE … TO …"
    if sqlstate in MISSING:
        return "run: superset perf upgrade"
    return "see the log database's own log"
