"""Works on a run: takes items, asks them in threads, and says what came of each.

The main thread does all the bookkeeping; a thread has one item and its own app context. An item that
takes longer than its time is given up, since a thread cannot be stopped: its answer, when it comes, is
thrown away.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from flask import Flask

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Answer
from superset_ext.settings import Settings, Targets
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.store import Registry, now_use
from superset_ext.warm.run import runs
from superset_ext.warm.run.pace import Pace, give_way
from superset_ext.warm.run.replay import Replayed, replay
from superset_ext.warm.run.runs import Item

logger = logging.getLogger(__name__)

SLICE_SECONDS = 60.0
_RENEW_SECONDS = runs.LEASE_SECONDS / 4
_BACK_OFF_SECONDS = 5.0
IDLE_SECONDS = 3.0
_REQUEST = """
SELECT kind, path, args, body, is_form FROM superset_ext.cache_request WHERE fingerprint = %s
"""
Discover = Callable[[Item], tuple[Replayed, list[Item]]]


@dataclass(slots=True)
class _Done:
    """What came of an item; `more` follows from it."""

    item: Item
    result: Replayed
    more: list[Item]


class Worker:
    """One worker's slice of a run.

    Args:
        app: Superset.
        database: the log database.
        settings: limits where the run has none of its own.
        run_id: the run.
        options: its targets and limits.
        discover: opens a page, and says what follows from it.
    """

    def __init__(
        self, app: Flask, database: LogDatabase, settings: Settings, run_id: str, options: Targets, discover: Discover
    ) -> None:
        self._app = app
        self._database = database
        self._settings = settings
        self._run_id = run_id
        self._discover = discover
        self._lease = str(uuid4())
        self._batch = options.batch_size or settings.warm_batch_size
        self._per_database = options.per_database or settings.warm_per_database
        self._timeout = options.timeout or settings.warm_timeout
        self._pace = Pace(database, options.concurrency or settings.warm_concurrency)
        self._waiting: deque[Item] = deque()
        self._under_way: dict[int, tuple[Item, float]] = {}
        self._done: queue.Queue[_Done] = queue.Queue()
        self._renewed = time.monotonic()
        self._taken = 0

    def work(self, seconds: float = SLICE_SECONDS) -> float | None:
        """Work for `seconds`, and then until what was begun is done; seconds after which to go on, `None` for the end.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`; what was taken is taken again when its lease ends.
        """
        until = time.monotonic() + seconds
        try:
            while self._step(taking=time.monotonic() < until):
                pass
        finally:
            for item in self._waiting:
                runs.finish(self._database, self._run_id, self._lease, item, "queued")
        if runs.close(self._database, self._run_id):
            return None
        # Where nothing could be taken, what is left waits for its next try, or for other workers.
        return 0.0 if self._taken else IDLE_SECONDS

    def _step(self, taking: bool) -> bool:
        """Start what may start, take in what has ended; whether there is anything more to do now."""
        slots = self._pace.slots()
        if taking and len(self._waiting) + len(self._under_way) < max(slots, 1):
            self._waiting.extend(self._claim())
        while taking and self._waiting and len(self._under_way) < slots:
            self._start(self._waiting.popleft())
        self._take_in()
        self._keep()
        return bool(self._under_way or (taking and self._waiting))

    def _claim(self) -> list[Item]:
        items = runs.claim(self._database, self._run_id, self._lease, self._batch, self._per_database)
        self._taken += len(items)
        return items

    def _start(self, item: Item) -> None:
        self._under_way[item.ordinal] = (item, time.monotonic())
        threading.Thread(target=self._run, args=(item,), name="superset_ext-warm", daemon=True).start()

    def _run(self, item: Item) -> None:
        give_way()
        try:
            done = _Done(item, *self._asked(item))
        except Exception as error:  # noqa: BLE001  (a thread that ends without a word would hold its item for ever)
            done = _Done(item, Replayed((), f"{type(error).__name__}: {error}", True, 0.0), [])
        self._done.put(done)

    def _asked(self, item: Item) -> tuple[Replayed, list[Item]]:
        if item.action == "discover":
            with self._app.app_context():
                return self._discover(item)
        rows = self._database.rows(_REQUEST, (item.fingerprint,))
        if not rows:
            return Replayed((), "the request was forgotten since the run was planned", False, 0.0), []
        request = ChartRequest(**rows[0])
        result = replay(self._app, request, item.who, refresh=item.action == "refresh")
        if result.answers and not result.error:
            self._learn(item, request, result)
        return result, []

    def _learn(self, item: Item, request: ChartRequest, result: Replayed) -> None:
        """The keys that the request leads this user to now."""
        ids = (item.dashboard_id, item.chart_id, *result.ids)
        registry = Registry(self._database, self._settings)
        registry.write([now_use(request, item.who, ids, result.answers)])

    def _take_in(self) -> None:
        """What has ended, of those that are still awaited; waits for it a moment."""
        try:
            done = self._done.get(timeout=0.25)
        except queue.Empty:
            return
        while True:
            if self._under_way.pop(done.item.ordinal, None):
                self._finish(done)
            try:
                done = self._done.get_nowait()
            except queue.Empty:
                return

    def _finish(self, done: _Done) -> None:
        result, item = done.result, done.item
        again = result.error and result.passing and item.attempts < self._settings.warm_attempts
        state: Any = "queued" if again else "failed" if result.error else "warmed" if _warmed(done) else "fresh"
        wait = _BACK_OFF_SECONDS * 2 ** (item.attempts - 1) if again else 0.0
        if result.gone:
            Registry(self._database, self._settings).drop(str(item.fingerprint))
        runs.finish(
            self._database, self._run_id, self._lease, item, state, reason=result.error, ms=result.ms, wait=wait,
            answers=_stored(result.answers), database_id=result.ids[1], more=done.more,
        )  # fmt: skip

    def _keep(self) -> None:
        """Renew the lease, and give up what takes too long."""
        if time.monotonic() - self._renewed >= _RENEW_SECONDS:
            runs.renew(self._database, self._run_id, self._lease)
            self._renewed = time.monotonic()
        for item, since in list(self._under_way.values()):
            if time.monotonic() - since > self._timeout:
                del self._under_way[item.ordinal]
                reason = f"it took longer than {self._timeout} s; make its query faster, or raise the timeout"
                runs.finish(self._database, self._run_id, self._lease, item, "failed", reason=reason)


def _warmed(done: _Done) -> bool:
    return done.result.warmed or done.item.action == "discover"


def _stored(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    return tuple(answer for answer in answers if answer.stored is not None)
