"""Both texts of a statement run in the background, as the user who asked, and compared row by row.

One thread a process does it, with limits for each statement, in a transaction that only reads, and never while many
queries are under way on the source. Both texts are run at one moment of the source. Values of a query stay in memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import PlanError, SourceBusy
from superset_ext.host.explaining import WITH_PLANS, Asking, as_asker, as_sent, connected
from superset_ext.plans.answers import MAX_ROWS, same_rows
from superset_ext.plans.compared.sources import Source, source_of
from superset_ext.plans.one_select import one_select
from superset_ext.plans.postgresql import ENGINE

logger = logging.getLogger(__name__)

SECONDS = 60.0  # that each text may take
QUEUE = 100
QUEUE_CHARACTERS = 1024**2
_IDLE_SECONDS = 30.0  # after which the thread ends that has nothing to do

Rows = list[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """A statement that was asked, with its values.

    Attributes:
        dataset_id, database_id, user_id: Superset's; of a guest or nobody `user_id` is `None`.
        catalog, schema: where names without them are looked up.
        note: what the substitute makes the other text from.
        superset_first: whether Superset's own text is run first.
        engine: SQLAlchemy's name of the source's engine.
    """

    sql: str
    fingerprint: str
    dataset_id: int
    database_id: int
    catalog: str | None
    schema: str | None
    user_id: int | None
    note: Any
    superset_first: bool = True
    engine: str = ENGINE


@dataclass(frozen=True, slots=True)
class Other:
    """Another text of a statement.

    Attributes:
        rules: by which it was made; none where there is no other text.
        below: the rows are only the same where there are fewer than this; `None`: always.
        own: what is compared with it in the place of Superset's own text; empty for that itself.
        timed: what answers charts, and is timed, where that is another text; empty for this one.
        same: whether two answers are the same.
        before_ms: what is looked at before it each time takes.
        note: the substitute's own.
    """

    sql: str
    rules: tuple[str, ...]
    below: int | None = None
    own: str = ""
    timed: str = ""
    same: Callable[[Rows, Rows], bool] = same_rows
    before_ms: float = 0.0
    note: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """What running both texts has shown.

    Attributes:
        same: whether both gave the same rows and columns; `None` where they were not run, since there is no other text.
        sure: whether the rows are the only right ones; where a LIMIT cuts they are not.
        stock_ms, other_ms: what they took, with what is looked at before the other one.
    """

    other: Other
    same: bool | None = None
    sure: bool = True
    stock_ms: float = 0.0
    other_ms: float = 0.0


class Shadow:
    """The thread that compares.

    Args:
        app: Superset's.
        most: queries that may be under way on a source.
        made: makes the other text within the transaction that compares, whose cursor it gets; it may raise `PlanError`.
        shown: called in the thread with what a job has shown.
        refused: called in the thread with why a job could not be done, free of values.
    """

    def __init__(
        self,
        app: Any,
        most: int,
        made: Callable[[Any, Job], Other],
        shown: Callable[[Job, Shown], None],
        refused: Callable[[Job, str], None],
    ) -> None:
        self._app = app
        self._most = most
        self._made = made
        self._shown = shown
        self._refused = refused
        self._queue: BoundedQueue[Job] = BoundedQueue(QUEUE, QUEUE_CHARACTERS, lambda job: len(job.sql))
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no thread."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: set[tuple[int, str]] = set()

    def put(self, job: Job) -> None:
        """Have a job done before long, unless the same statement waits already or there are too many."""
        name = (job.dataset_id, job.fingerprint)
        with self._lock:
            if name in self._waiting or not self._queue.put(job):
                return
            self._waiting.add(name)
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="superset_ext-shadow", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            jobs = self._queue.take(1)
            if jobs:
                self._do(jobs[0])
                with self._lock:
                    self._waiting.discard((jobs[0].dataset_id, jobs[0].fingerprint))
                self._queue.done(jobs)
                continue
            self._wake.wait(_IDLE_SECONDS)
            with self._lock:
                if not self._wake.is_set():
                    self._thread = None
                    return
                self._wake.clear()

    def _do(self, job: Job) -> None:
        try:
            self._shown(job, self._run(job))
        except SourceBusy:
            return  # a later one may find the source idle
        except Exception as error:  # noqa: BLE001  (of templates, tunnels and drivers; its message may repeat a value)
            cause = getattr(error, "cause", "") or type(error).__name__
            logger.info("superset_ext: the texts of the statement %s were not compared (%s)", job.fingerprint, cause)
            self._refused(job, f"it could not be compared ({cause})")

    def _run(self, job: Job) -> Shown:
        with self._app.app_context(), as_asker(job.user_id, job.database_id) as database:
            source = source_of(database)
            one_select(job.sql, source.engine)
            asking = Asking(database, job.sql, job.catalog, job.schema)
            with connected(asking, WITH_PLANS) as connection, source.reading(connection, SECONDS, self._most) as cursor:
                other = self._made(cursor, job)
                if not other.rules:
                    return Shown(other)
                return _compared(cursor, job, other, source, lambda sql: as_sent(database, sql))


def _compared(cursor: Any, job: Job, other: Other, source: Source, sent: Callable[[str], str]) -> Shown:
    texts = [sent(other.own or job.sql), sent(other.sql)]
    for text in texts:
        source.refuse_volatile(cursor, text)
    answers = {text: _answer(cursor, text) for text in (texts if job.superset_first else texts[::-1])}
    (stock, stock_ms, columns), (rows, other_ms, other_columns) = (answers[text] for text in texts)
    if other.timed:
        _, other_ms, other_columns = _answer(cursor, sent(other.timed))
    sure = other.below is None or max(len(stock), len(rows)) < other.below
    same = columns == other_columns and (not sure or other.same(stock, rows))
    return Shown(other, same, sure, stock_ms, other_ms + other.before_ms)


def _answer(cursor: Any, text: str) -> tuple[Rows, float, list[tuple[Any, Any]]]:
    """Rows, milliseconds, and the names and types of columns.

    Raises:
        PlanError: there are more rows than are compared.
    """
    started = time.perf_counter()
    cursor.execute(text)
    rows = list(cursor.fetchmany(MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise PlanError(f"it gives more than {MAX_ROWS} rows", "TooManyRows")
    columns = [(column[0], column[1]) for column in cursor.description]  # names and types
    return rows, (time.perf_counter() - started) * 1000, columns
