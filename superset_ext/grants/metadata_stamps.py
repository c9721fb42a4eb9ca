"""Whether anything on the metadata database has changed that rights and answers depend on; PostgreSQL only.

Statement triggers append the id of each transaction that writes a watched table to a table of ours (`sql/grants`). A
**mark** is the snapshot of one moment, with what names the triggers and this run of the server. It holds while no row
of that table comes from a transaction that the snapshot does not see. That is exact, whatever the order in which
transactions end: who had committed by then is seen by the snapshot, and who commits later adds a row that it does not
see. Nobody waits for a row that others write, as they would for a counter; and a sequence would be ahead of what its
transaction has made visible.

All tables that Superset maps are watched, but for those that decide nothing and are written all the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.sql_folder import sql_folder
from superset_ext.core.warn_once import warn
from superset_ext.errors import Unanswerable

# What people do while they look, and what no answer is made of that is given again.
IDLE = frozenset(
    {
        "ab_api_key", "ab_register_user", "cache_keys", "dynamic_plugin", "key_value", "keyvalue", "logs", "query",
        "report_execution_log", "report_recipient", "report_schedule", "report_schedule_user", "saved_query",
        "tab_state", "table_schema", "task_subscribers", "tasks", "user_attribute", "user_favorite_tag",
    }
)  # fmt: skip
FILES = tuple(sorted((sql_folder() / "grants").glob("[0-9][0-9]_*.sql")))
_UNINSTALL = sql_folder() / "grants" / "uninstall.sql"
_INSTALLED = "SELECT obj_description(to_regnamespace('superset_ext_grants'), 'pg_namespace')"
_WATCH = "SELECT superset_ext_grants.watch(%s, current_schema())"
_NOW = "SELECT pg_current_snapshot()::text, superset_ext_grants.anchor()"
_HOLDS = "SELECT superset_ext_grants.holds(%s::pg_snapshot, %s)"
_TIDY = "SELECT superset_ext_grants.tidy(make_interval(secs => %s))"
_LOCKS = "SET LOCAL lock_timeout = '2s'"
_VERSION = "version 1"
_POOL = 16
_WAIT = 0.25  # seconds for a connection of the pool
_RETRY = 60.0  # seconds after which triggers that could not be made are tried again
_TIDY_EVERY = 60.0

Mark = tuple[str, str]  # the snapshot; the triggers and the run of the server


class MetadataStamps:
    """What was written on the metadata database, by its triggers.

    Args:
        engine: Superset's engine, of which it takes how to connect, and no connection.
        tables: the names of the tables to watch.
    """

    def __init__(self, engine: Callable[[], Engine], tables: Callable[[], list[str]]) -> None:
        self._engine = engine
        self._tables = tables
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no connection, and know of no triggers."""
        self._lock = threading.Lock()
        self._pool: QueuePool | None = None
        self._triggers: int | None = None
        self._tried = float("-inf")
        self._tidied = float("-inf")

    @property
    def number(self) -> int | None:
        """How many triggers there are; `None` while that is not known."""
        return self._triggers

    def now(self) -> Mark | None:
        """The mark of this moment; `None` where the triggers are not all there, or the server does not answer."""
        if self._triggers is None:
            self._make_ready()
            return None
        row = self._row(_NOW, ())
        if row is None or int(row[1].split(" ", 1)[0]) != self._triggers or row[1].endswith(" t"):
            self._triggers = None
            return None
        return str(row[0]), str(row[1])

    def holds(self, mark: Mark) -> bool:
        """Whether nothing was written since that is not in the mark; where that cannot be known, it does not hold."""
        row = self._row(_HOLDS, mark)
        return bool(row is not None and row[0] is True)

    def install(self) -> int:
        """Make schema and triggers as far as they are not there; how many triggers there are.

        Raises:
            SQLAlchemyError, psycopg2.Error: the database refused, or does not answer.
        """
        with self._cursor() as cursor:
            cursor.execute(_INSTALLED)
            if not (cursor.fetchone()[0] or "").endswith(_VERSION):
                for path in FILES:
                    cursor.execute(f"BEGIN; {_LOCKS}; {path.read_text(encoding='utf-8')}; COMMIT")
            # One by one: who waits for the lock of a table keeps those waiting that write it.
            for table in self._tables():
                cursor.execute("BEGIN")
                cursor.execute(_LOCKS)
                cursor.execute(_WATCH, ([table],))
                cursor.execute("COMMIT")
            cursor.execute(_WATCH, (self._tables(),))
            return int(cursor.fetchone()[0])

    def uninstall(self) -> bool:
        """Remove triggers and schema; whether there were any.

        Raises:
            SQLAlchemyError, psycopg2.Error: as for `install`.
        """
        self._triggers = None
        if not is_possible(self._engine()):
            return False
        with self._cursor() as cursor:
            cursor.execute(_INSTALLED)
            present: bool = cursor.fetchone()[0] is not None
            if present:
                cursor.execute(_UNINSTALL.read_text(encoding="utf-8"))
        self._connections().dispose()
        return bool(present)

    def tidy(self, life_seconds: float) -> None:
        """Delete what no grant needs that lives `life_seconds`; once a minute, however often it is called."""
        if self._triggers is not None and time.monotonic() - self._tidied >= _TIDY_EVERY:
            self._tidied = time.monotonic()
            self._row(_TIDY, (2 * life_seconds + 60,))

    def _make_ready(self) -> None:
        """Have a thread look for the triggers, and make those that are missing; once in a while."""
        with self._lock:
            if time.monotonic() - self._tried < _RETRY:
                return
            self._tried = time.monotonic()
        threading.Thread(target=self.make_ready, name="superset_ext-grants", daemon=True).start()

    def make_ready(self) -> bool:
        """Look for the triggers, and make those that are missing; whether they are all there."""
        try:
            if not is_possible(self._engine()):
                raise Unanswerable("the metadata database is not PostgreSQL")
            self._triggers = self.install()
            self._tried = float("-inf")
        except Exception as error:  # noqa: BLE001  (whatever it is, Superset answers without grants)
            fix = "see «Grants» in docs/security.md for what an administrator can run instead"
            warn("grants", "answers are not granted again, since triggers cannot be made (%s); %s", _line(error), fix)
        return self._triggers is not None

    def _row(self, sql: str, values: Any) -> Any:
        """The one row of a statement in one round trip; `None` where the server does not answer."""
        for _ in range(2):
            try:
                with self._cursor() as cursor:
                    cursor.execute(sql, values)
                    return cursor.fetchone()
            except Exception as error:  # noqa: BLE001  (as above)
                if getattr(driver_error(error), "pgcode", None):
                    self._triggers = None  # somebody took them away, or the server is another one by now
                    return None
        return None

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor that commits each statement. A connection that failed is not used again."""
        fairy = self._connections().connect()
        try:
            raw = fairy.dbapi_connection
            raw.autocommit = True
            with raw.cursor() as cursor:
                yield cursor
        except BaseException:
            fairy.invalidate()
            raise
        else:
            fairy.close()

    def _connections(self) -> QueuePool:
        with self._lock:
            if self._pool is None:
                engine = self._engine()
                self._pool = QueuePool(
                    engine.pool._creator, pool_size=_POOL, max_overflow=0, timeout=_WAIT, recycle=300,
                    reset_on_return=None, dialect=engine.dialect,
                )  # fmt: skip
            return self._pool


def watched_tables() -> list[str]:
    """The names of the tables that Superset maps and that may decide something."""
    from flask_appbuilder import Model

    return sorted({table.name for table in Model.metadata.tables.values()} - IDLE)


def is_possible(engine: Engine) -> bool:
    """Whether a metadata database has such triggers."""
    return bool(engine.dialect.name == "postgresql")


def _line(error: Exception) -> str:
    return first_line(error) if isinstance(error, SQLAlchemyError) else str(error).strip().split("\n", 1)[0]
