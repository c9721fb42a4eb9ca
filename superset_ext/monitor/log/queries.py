"""`query_performance_log`: each query that Superset sent to a source, written off the request's path.

Whoever sent one says so (`signals.queried`): the seam of `Database.get_df` for charts, `monitor.sqllab` for SQL Lab.
On the request's path there is one append to a queue that is bounded in queries and in characters; what comes on top is
dropped and counted. The recorder's thread takes the values out of the SQL and writes the rows. A batch is kept until it
is written, and written once: where the connection broke during the commit, the server is asked what became of it.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import fitting_id
from superset_ext.errors import LogUnavailable
from superset_ext.events import Queried, queried
from superset_ext.monitor.log import sqllab
from superset_ext.monitor.log.fingerprint import Statement, Statements
from superset_ext.monitor.log.recorder import Recorder

logger = logging.getLogger(__name__)

QUEUE = 10_000  # queries that wait to be written
QUEUE_CHARACTERS = 16 * 1024**2  # of their SQL
MAX_SQL = 256 * 1024  # characters of one; what is beyond has no part in its fingerprint
_BATCH = 2_000
_PAGE = 500
_NAME = 100  # characters of an error's class
# A statement that the server will refuse each time, as far as one can know: its data, or its constraints.
_REFUSED = ("22", "23")

TABLE = "query_performance_log"
_BEGIN = "SELECT CAST(pg_current_xact_id() AS text), clock_timestamp()"
# What became of the transaction of an earlier try. A number that is still to come is of another server's past.
_FATE = """
SELECT CASE WHEN CAST(%(xid)s AS xid8) < pg_current_xact_id() THEN pg_xact_status(CAST(%(xid)s AS xid8)) END
"""
_DAY = "SELECT superset_ext.create_day_partition(%s, %s)"
# Once an hour will do for what was seen last; otherwise each flush would write each row anew.
_STATEMENTS = """
INSERT INTO superset_ext.query_fingerprint AS f (fingerprint, database_id, sql, first_seen, last_seen) VALUES %s
ON CONFLICT (fingerprint) DO UPDATE SET last_seen = excluded.last_seen
WHERE f.last_seen < excluded.last_seen - interval '1 hour'
"""
_ROWS = f"""
INSERT INTO superset_ext.{TABLE} (
    created_at, host, pid, source, channel, database_id, dataset_id, chart_id, dashboard_id, user_id, fingerprint,
    duration_ms, rows, error
) VALUES %s
"""  # noqa: S608  (only a constant)


@dataclass(slots=True)
class _Batch:
    """Queries that go into the log together.

    Attributes:
        xid: transaction of the last try, which may have been committed; `None` before the first.
    """

    queries: list[Queried]
    xid: str | None = None


@dataclass(frozen=True, slots=True)
class QueryLogStatus:
    """What the log of this process is at.

    Attributes:
        pending: queries that are not written yet.
        dropped: those that never will be, since the process began.
    """

    pending: int
    dropped: int


class QueryLog:
    """The queries that this process has sent, and the way into their table.

    Args:
        database: the log database.
        begin: called with each query, to have somebody call `flush` before long.
    """

    def __init__(self, database: LogDatabase, begin: Callable[[], None]) -> None:
        self._database = database
        self._begin = begin
        self._queue: BoundedQueue[Queried] = BoundedQueue(QUEUE, QUEUE_CHARACTERS, lambda query: len(query.sql))
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no batch under way."""
        self._batch: _Batch | None = None
        self._statements = Statements()

    def start(self) -> None:
        """Take what is told from now on."""
        queried.connect(self._hear, weak=False)

    def stop(self) -> None:
        """Take no more; what is there is for the next `flush`."""
        queried.disconnect(self._hear)

    def _hear(self, _sender: str, event: Queried) -> None:
        if len(event.sql) > MAX_SQL:
            event = replace(event, sql=event.sql[:MAX_SQL])
        if self._queue.put(event):
            self._begin()

    def status(self) -> QueryLogStatus:
        """What is not in the log yet, or never will be."""
        return QueryLogStatus(len(self._queue), self._queue.dropped)

    def flush(self) -> None:
        """Write what was told.

        Raises:
            LogUnavailable: the database does not answer; what was told is kept for the next time.
        """
        while (batch := self._taken()) is not None:
            try:
                self._write(batch)
            except LogUnavailable as error:
                if not (error.sqlstate or "").startswith(_REFUSED):
                    raise
                logger.warning("superset_ext: %d queries are not in %s: %s", len(batch.queries), TABLE, error)
                self._queue.drop(len(batch.queries))
            self._batch = None
            self._queue.done(batch.queries)
        self._tell_dropped()

    def _taken(self) -> _Batch | None:
        """What could not be written the last time, as it was, or else what came since."""
        if self._batch is None and (queries := self._queue.take(_BATCH)):
            self._batch = _Batch(queries)
        return self._batch

    def tell_lost(self) -> None:
        """At the process's end, once the recorder has finished: say what no process keeps any more."""
        if pending := self.status().pending:
            logger.warning("superset_ext: %d queries are missing in %s, because the process ends", pending, TABLE)

    def _tell_dropped(self) -> None:
        if dropped := self._queue.newly_dropped():
            logger.warning(
                "superset_ext: %d queries are missing in %s, being too many while the log database was away or slow",
                dropped,
                TABLE,
            )

    def _write(self, batch: _Batch) -> None:
        # Outside the transaction: it may take a while.
        statements = [self._statement(each) for each in batch.queries]
        with self._database.transaction() as cursor:
            cursor.execute(_BEGIN)
            xid, now = cursor.fetchone()
            if batch.xid is not None and _is_written(cursor, batch.xid):
                return
            batch.xid = xid
            _insert(cursor, batch.queries, statements, now)

    def _statement(self, query: Queried) -> Statement | None:
        return self._statements.of(query.sql, query.engine, fitting_id(query.database_id)) if query.sql else None


def install(database: LogDatabase, recorder: Recorder) -> QueryLog:
    """Log what charts and SQL Lab ask from now on; `recorder` writes it, and is to be started after this."""
    log = QueryLog(database, recorder.begin)
    log.start()
    sqllab.install()
    recorder.beside.append(log.flush)
    atexit.register(log.tell_lost)  # before the recorder registers itself, and so called after it
    return log


def _is_written(cursor: Any, xid: str) -> bool:
    """Whether the transaction of an earlier try was committed.

    Raises:
        LogUnavailable: the server is still about to decide.
    """
    cursor.execute(_FATE, {"xid": xid})
    (fate,) = cursor.fetchone()
    if fate == "in progress":
        raise LogUnavailable("an earlier transaction has not ended yet; wait, or end its session", "InProgress")
    return bool(fate == "committed")


def _insert(cursor: Any, queries: Sequence[Queried], statements: Sequence[Statement | None], now: datetime) -> None:
    """Write queries, each when it ended by the database's clock, which says `now`, whatever this machine's says."""
    from psycopg2.extras import execute_values  # absent where Superset runs on another database

    here = time.monotonic()
    moments = [now - timedelta(seconds=max(0.0, here - each.ended)) for each in queries]
    for day in sorted({moment.astimezone(UTC).date() for moment in moments}):
        cursor.execute(_DAY, (TABLE, day))
    known = _known(queries, statements, moments)
    execute_values(cursor, _STATEMENTS, known, page_size=_PAGE)
    execute_values(cursor, _ROWS, _values(queries, statements, moments), page_size=_PAGE)


def _known(
    queries: Sequence[Queried], statements: Sequence[Statement | None], moments: Sequence[datetime]
) -> list[tuple[Any, ...]]:
    """A row for each statement; all processes lock them in one order."""
    rows: dict[str, tuple[Any, ...]] = {}
    for query, statement, moment in zip(queries, statements, moments, strict=True):
        if statement is not None:
            first = rows[statement.fingerprint][3] if statement.fingerprint in rows else moment
            rows[statement.fingerprint] = (
                statement.fingerprint, fitting_id(query.database_id), statement.text,
                min(first, moment), max(first, moment),
            )  # fmt: skip
    return [rows[name] for name in sorted(rows)]


def _values(
    queries: Sequence[Queried], statements: Sequence[Statement | None], moments: Sequence[datetime]
) -> Iterable[tuple[Any, ...]]:
    host, pid = socket.gethostname(), os.getpid()
    for query, statement, moment in zip(queries, statements, moments, strict=True):
        scope = query.scope
        ids = (query.database_id, scope.dataset_id, scope.chart_id, scope.dashboard_id, scope.user_id)
        yield (
            moment, host, pid, query.source, scope.channel, *map(fitting_id, ids),
            statement.fingerprint if statement else None, max(0.0, query.ms), query.rows,
            query.error[:_NAME] if query.error else None,
        )  # fmt: skip
