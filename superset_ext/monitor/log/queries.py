"""`query_performance_log`: each query that Superset sent to a source, written off the request's path.

`events.queried` tells of a query: the seam of `Database.get_df` sends it for charts, `monitor.log.sqllab` for SQL Lab.
A request only appends to a queue that is bounded in queries and characters; what does not fit is dropped and counted.
The recorder's thread removes the values from the SQL and writes the rows. A batch is kept until it is written, and is
written once: if the connection was lost during the commit, the server is asked for the outcome.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from superset_ext.compat import UTC
from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.ids import fitting_id
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.events import Queried, queried
from superset_ext.monitor.log import sqllab
from superset_ext.monitor.log.fingerprint import Statement, Statements
from superset_ext.monitor.log.recorder import Recorder

logger = logging.getLogger(__name__)

QUEUE = 10_000  # queries that wait to be written
QUEUE_CHARACTERS = 16 * 1024**2  # of their SQL
MAX_SQL = 256 * 1024  # characters of a query that its fingerprint is made from
_BATCH = 2_000
_PAGE = 500
_NAME = 100  # characters of an error's class
# SQLSTATE classes of statements that the server will refuse again: bad data, violated constraints.
_REFUSED = ("22", "23")

TABLE = "query_performance_log"
_BEGIN = "SELECT CAST(pg_current_xact_id() AS text), clock_timestamp()"
# The outcome of the transaction of an earlier try. A number that this server has not reached is another server's.
_FATE = """
SELECT CASE WHEN CAST(%(xid)s AS xid8) < pg_current_xact_id() THEN pg_xact_status(CAST(%(xid)s AS xid8)) END
"""
_DAY = "SELECT superset_ext.create_day_partition(%s, %s)"
# `last_seen` is exact to an hour, so that not every flush rewrites every row.
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
        xid: transaction of the last try, which may have been committed; `None` before the first try.
    """

    queries: list[Queried]
    xid: str | None = None


@dataclass(frozen=True, slots=True)
class QueryLogStatus:
    """The state of the query log of this process.

    Attributes:
        pending: queries that are not written yet.
        dropped: queries that will never be written, since the process began.
    """

    pending: int
    dropped: int


def _characters(query: Queried) -> int:
    return len(query.sql) + sum(map(len, query.sent))


class QueryLog:
    """Collects the queries of this process, and writes them to their table.

    Args:
        database: the log database.
        begin: called with each query; has `flush` called before long.
    """

    def __init__(self, database: LogDatabase, begin: Callable[[], None]) -> None:
        self._database = database
        self._begin = begin
        self._queue: BoundedQueue[Queried] = BoundedQueue(QUEUE, QUEUE_CHARACTERS, _characters)
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no batch."""
        self._batch: _Batch | None = None
        self._statements = Statements()

    def start(self) -> None:
        """Collect queries from now on."""
        queried.connect(self._hear, weak=False)

    def stop(self) -> None:
        """Stop collecting; what is collected is left for the next `flush`."""
        queried.disconnect(self._hear)

    def _hear(self, _sender: str, event: Queried) -> None:
        if len(event.sql) > MAX_SQL:
            event = replace(event, sql=event.sql[:MAX_SQL])
        if self._queue.put(event):
            self._begin()

    def status(self) -> QueryLogStatus:
        """How many queries are not in the log yet, and how many never will be."""
        return QueryLogStatus(len(self._queue), self._queue.dropped)

    def flush(self) -> None:
        """Write the collected queries.

        Raises:
            LogUnavailable: the database does not answer; the queries are kept for the next time.
        """
        while (batch := self._next_batch()) is not None:
            try:
                self._write(batch)
            except LogUnavailable as error:
                if not (error.sqlstate or "").startswith(_REFUSED):
                    raise
                logger.warning("superset_ext: %d queries are not in %s: %s", len(batch.queries), TABLE, error)
                self._queue.drop(len(batch.queries))
            self._batch = None
            self._queue.done(batch.queries)
        self._warn_of_dropped()

    def _next_batch(self) -> _Batch | None:
        """The batch that could not be written the last time, or else a new one; `None` if there is nothing to write."""
        if self._batch is None and (queries := self._queue.take(_BATCH)):
            self._batch = _Batch(queries)
        return self._batch

    def warn_of_lost(self) -> None:
        """Log how many queries are lost. Call this at the end of the process, after the recorder has finished."""
        if pending := self.status().pending:
            logger.warning("superset_ext: %d queries are missing in %s, because the process ends", pending, TABLE)

    def _warn_of_dropped(self) -> None:
        if dropped := self._queue.newly_dropped():
            logger.warning(
                "superset_ext: %d queries are missing in %s, being too many while the log database was away or slow",
                dropped,
                TABLE,
            )

    def _write(self, batch: _Batch) -> None:
        # Outside the transaction, since it may take a while.
        statements = [self._statement(query) for query in batch.queries]
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
    """Log the queries of charts and SQL Lab from now on. The recorder writes them; start it after this."""
    log = QueryLog(database, recorder.begin)
    log.start()
    sqllab.install()
    recorder.beside.append(log.flush)
    atexit.register(log.warn_of_lost)  # registered before the recorder's own, and so called after it
    return log


def _is_written(cursor: Any, xid: str) -> bool:
    """Whether the transaction of an earlier try was committed.

    Raises:
        LogUnavailable: the transaction has not ended yet.
    """
    cursor.execute(_FATE, {"xid": xid})
    (fate,) = cursor.fetchone()
    if fate == "in progress":
        raise LogUnavailable("an earlier transaction has not ended yet; wait, or end its session", "InProgress")
    return bool(fate == "committed")


def _insert(cursor: Any, queries: Sequence[Queried], statements: Sequence[Statement | None], now: datetime) -> None:
    """Write queries with the time of their end by the database's clock, which stands at `now`."""
    from psycopg2.extras import execute_values  # absent where Superset runs on another database

    here = time.monotonic()
    moments = [now - timedelta(seconds=max(0.0, here - query.ended)) for query in queries]
    for day in sorted({moment.astimezone(UTC).date() for moment in moments}):
        cursor.execute(_DAY, (TABLE, day))
    fingerprints = _fingerprints(queries, statements, moments)
    execute_values(cursor, _STATEMENTS, fingerprints, page_size=_PAGE)
    execute_values(cursor, _ROWS, _values(queries, statements, moments), page_size=_PAGE)


def _fingerprints(
    queries: Sequence[Queried], statements: Sequence[Statement | None], moments: Sequence[datetime]
) -> list[tuple[Any, ...]]:
    """A row for each statement, sorted: all processes lock them in the same order."""
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
