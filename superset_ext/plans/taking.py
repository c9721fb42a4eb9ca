"""Takes the plans of slow queries, off the request's path.

A request only compares a number and appends to a queue that is bounded. The recorder's thread asks the source for the
plan, with the very statement that ran, as the user who ran it, and writes it to `query_plan`: once a statement and day,
and when its time has doubled. A source on which many queries are under way is left alone.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.within import within
from superset_ext.errors import LogUnavailable, PlanError, SourceBusy
from superset_ext.events import Queried, queried
from superset_ext.host.explaining import WITH_PLANS, Asking, as_asker, connected
from superset_ext.monitor.log.fingerprint import Statements
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.plans import kept
from superset_ext.plans.asked import asked_beside
from superset_ext.plans.explain import Explained
from superset_ext.plans.postgresql import ENGINE
from superset_ext.plans.review import explained_by, judged
from superset_ext.plans.rewrite import ADVICE, AUTOMATIC
from superset_ext.plans.rewrite.comparison import Comparison, compare
from superset_ext.settings import Settings

logger = logging.getLogger(__name__)

QUEUE = 100  # slow queries that wait for their plan
QUEUE_CHARACTERS = 1024**2
SECONDS = 1.0  # that each statement of ours may take on the source
PATIENCE_SECONDS = 3.0  # for a plan, and for all plans of a flush, so that the counts do not wait for a source
SILENT_SECONDS = 300.0  # for which a source is not asked that did not answer, since who asked it waits there still
_REMEMBERED = 1_000
_DAY = 86_400.0


class PlanTaker:
    """Takes the plans of this process's slow queries.

    Args:
        app: Superset's.
        database: the log database.
        begin: called with each slow query; has `flush` called before long.
        settings: `slow_query_ms` and `plans_active`.
    """

    def __init__(self, app: Any, database: LogDatabase, begin: Callable[[], None], settings: Settings) -> None:
        self._app = app
        self._database = database
        self._begin = begin
        self._settings = settings
        self._queue: BoundedQueue[Queried] = BoundedQueue(QUEUE, QUEUE_CHARACTERS, lambda query: len(query.sent[0]))
        reset_on_fork(self)

    def reset(self) -> None:
        """Know of no plan."""
        self._statements = Statements()
        self._taken: OrderedDict[str, tuple[float, float]] = OrderedDict()  # when (monotonic), and the query's ms
        self._silent: dict[int, float] = {}  # databases, and until when (monotonic) they are not asked

    def start(self) -> None:
        """Listen for slow queries from now on."""
        queried.connect(self._hear, weak=False)

    def stop(self) -> None:
        """Listen no longer; what waits is left for the next `flush`."""
        queried.disconnect(self._hear)

    def _hear(self, _sender: str, event: Queried) -> None:
        if event.ms < self._settings.slow_query_ms or event.engine not in WITH_PLANS or len(event.sent) != 1:
            return
        if event.error is None and event.database_id is not None and self._queue.put(event):
            self._begin()

    def flush(self) -> None:
        """Take plans of the queries that wait, for a few seconds; the others wait for the next time.

        Raises:
            LogUnavailable: the log database does not answer; the query that it was about gets no plan.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and (queries := self._queue.take(1)):
            try:
                self._take(queries[0])
            finally:
                self._queue.done(queries)

    def _take(self, query: Queried) -> None:
        statement = self._statements.of(query.sql, query.engine, query.database_id)
        fingerprint = statement.fingerprint
        if not self._is_due(fingerprint, query.ms) or self._is_silent(query):
            return
        try:
            with self._database.transaction() as cursor:
                if kept.is_due(cursor, fingerprint, query.ms):
                    explained, comparison = within(PATIENCE_SECONDS, self._explained, query)
                    dataset = query.scope.dataset_id if query.scope is not None else None
                    beside = asked_beside(cursor, int(query.database_id or 0), dataset, statement.text)
                    before = kept.before(cursor, fingerprint)
                    review = judged(explained, query.sent[0], query.ms, before, beside)
                    kept.keep(cursor, fingerprint, int(query.database_id or 0), query.ms, review, comparison)
        except SourceBusy as error:
            logger.info("superset_ext: no plan was taken of a slow query: %s", error)
            return  # a later one may find the source idle
        except LogUnavailable:
            raise
        except TimeoutError:
            self._silent[int(query.database_id or 0)] = time.monotonic() + SILENT_SECONDS
            logger.info("superset_ext: database %s gave no plan within %g s", query.database_id, PATIENCE_SECONDS)
            return
        except Exception as error:  # noqa: BLE001  (of templates, tunnels and drivers; its message may repeat a value)
            cause = getattr(error, "cause", "") or type(error).__name__
            logger.info("superset_ext: no plan was taken of the statement %s (%s)", fingerprint, cause)
        self._remember(fingerprint, query.ms)

    def _is_due(self, fingerprint: str, ms: float) -> bool:
        """Whether this process knows of no plan that serves; the log is asked only then."""
        taken = self._taken.get(fingerprint)
        return taken is None or time.monotonic() - taken[0] > _DAY or ms >= taken[1] * kept.DOUBLED

    def _is_silent(self, query: Queried) -> bool:
        return time.monotonic() < self._silent.get(int(query.database_id or 0), 0.0)

    def _remember(self, fingerprint: str, ms: float) -> None:
        self._taken.pop(fingerprint, None)
        self._taken[fingerprint] = (time.monotonic(), ms)
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)

    def _explained(self, query: Queried) -> tuple[Explained, Comparison | None]:
        with self._app.app_context(), as_asker(query.scope.user_id, int(query.database_id or 0)) as database:
            asking = Asking(database, query.sent[0], query.catalog, query.schema)
            with connected(asking, WITH_PLANS) as connection:
                explained = explained_by(connection, asking.sql, SECONDS, most=self._settings.plans_active)
                return explained, _rewritten(connection, asking.sql) if query.engine == ENGINE else None


def _rewritten(connection: Any, sql: str) -> Comparison | None:
    """What rules make of a statement; `None` where the source refuses what they ask, which its plan does without."""
    try:
        return compare(connection, sql, SECONDS, rules=(*AUTOMATIC, *ADVICE))
    except PlanError as error:
        logger.info("superset_ext: a slow query was not compared with another text (%s)", error.cause or "refused")
        return None


def install(app: Any, database: LogDatabase, recorder: Recorder, settings: Settings) -> PlanTaker:
    """Take the plans of slow queries from now on. The recorder's thread does; start it after this."""
    taker = PlanTaker(app, database, recorder.begin, settings)
    taker.start()
    recorder.beside.append(taker.flush)
    return taker
