"""Works on a run: takes items, asks each in a thread of its own, and writes what it came to.

The main thread does all the bookkeeping; a thread has one item and its own app context. An item that takes longer than
its time is given up. A thread cannot be stopped, so its answer is thrown away when it comes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from flask import Flask

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Answer
from superset_ext.settings import Settings, Targets
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, warmed_use
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.items import Item, State
from superset_ext.warm.run.pace import Pace, give_way
from superset_ext.warm.run.replay import Replayed, replay

SLICE_SECONDS = 60.0
IDLE_SECONDS = 3.0
_LOOK_SECONDS = 0.25  # between two looks at what else may start, while nothing ends
_RENEW_SECONDS = items.LEASE_SECONDS / 4
_BACK_OFF_SECONDS = 5.0
_REQUEST = "SELECT kind, path, args, body, is_form FROM superset_ext.cache_request WHERE fingerprint = %s"


@dataclass(frozen=True, slots=True)
class Result:
    """What an item came to, and the items that follow from it."""

    item: Item
    replayed: Replayed
    more: Sequence[Item] = ()

    @property
    def state(self) -> State:
        """The item's state, if it is not tried again."""
        if self.replayed.error:
            return "failed"
        return "warmed" if self.replayed.warmed or self.item.action == "discover" else "fresh"

    @property
    def stored(self) -> tuple[Answer, ...]:
        """The answers that were put into the cache, or should have been."""
        return tuple(answer for answer in self.replayed.answers if answer.stored is not None)


Discover = Callable[[Item], Result]


class Worker:
    """One worker's slice of a run.

    Args:
        app: Superset.
        database: the log database.
        settings: limits where the run has none of its own.
        run_id: the run.
        options: its targets and limits.
        discover: opens the page of an item, within an app context.
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
        self._results: queue.Queue[Result] = queue.Queue()
        self._renewed = time.monotonic()
        self._taken = 0

    def work(self, seconds: float = SLICE_SECONDS) -> float | None:
        """Work for `seconds`, and then until what was begun is done.

        Returns:
            Seconds after which to go on; `None` when the run has ended.

        Raises:
            LogUnavailable: the log database does not answer; what was taken is taken again when its lease ends.
        """
        until = time.monotonic() + seconds
        try:
            while self._step(taking=time.monotonic() < until):
                pass
        finally:
            for item in self._waiting:
                items.finish(self._database, self._run_id, self._lease, item, "queued")
        if runs.close(self._database, self._run_id):
            return None
        # Where nothing could be taken, what is left waits for its next attempt, or for other workers.
        return 0.0 if self._taken else IDLE_SECONDS

    def _step(self, taking: bool) -> bool:
        """Start what may start, take in what has ended, and return whether there is more to do now."""
        slots = self._pace.slots()
        if taking and len(self._waiting) + len(self._under_way) < slots:
            self._waiting.extend(self._claim())
        while taking and self._waiting and len(self._under_way) < slots:
            self._start(self._waiting.popleft())
        self._take_in()
        self._renew()
        self._give_up_late()
        return bool(self._under_way or (taking and self._waiting))

    def _claim(self) -> list[Item]:
        claimed = items.claim(self._database, self._run_id, self._lease, self._batch, self._per_database)
        self._taken += len(claimed)
        return claimed

    def _start(self, item: Item) -> None:
        self._under_way[item.ordinal] = (item, time.monotonic())
        threading.Thread(target=self._run, args=(item,), name="superset_ext-warm", daemon=True).start()

    def _run(self, item: Item) -> None:
        give_way()
        try:
            result = self._result(item)
        except Exception as error:  # noqa: BLE001  (a thread that ends without a word would hold its item for ever)
            result = Result(item, Replayed(error=f"{type(error).__name__}: {error}", passing=True))
        self._results.put(result)

    def _result(self, item: Item) -> Result:
        if item.action == "discover":
            with self._app.app_context():
                return self._discover(item)
        rows = self._database.rows(_REQUEST, (item.fingerprint,))
        if not rows:
            return Result(item, Replayed(error="the request was forgotten since the run was planned"))
        request = ChartRequest(**rows[0])
        replayed = replay(self._app, request, item.identity, refresh=item.action == "refresh")
        if replayed.answers and not replayed.error:
            self._learn_keys(item, request, replayed)
        return Result(item, replayed)

    def _learn_keys(self, item: Item, request: ChartRequest, replayed: Replayed) -> None:
        """Tell the registry the keys that the request leads this identity to now."""
        ids = Ids(item.dashboard_id, item.chart_id, replayed.dataset_id, replayed.database_id)
        tables.write(self._database, self._settings, [warmed_use(request, item.identity, ids, replayed.answers)])

    def _take_in(self) -> None:
        """Write what has ended and is still awaited; where nothing has, wait for it a moment."""
        try:
            result = self._results.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return
        while True:
            if self._under_way.pop(result.item.ordinal, None):
                self._finish(result)
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return

    def _finish(self, result: Result) -> None:
        item, replayed = result.item, result.replayed
        again = replayed.error and replayed.passing and item.attempts < self._settings.warm_attempts
        if replayed.gone:
            tables.drop(self._database, str(item.fingerprint))
        items.finish(
            self._database, self._run_id, self._lease, item, "queued" if again else result.state,
            reason=replayed.error, ms=replayed.ms, wait=_BACK_OFF_SECONDS * 2 ** (item.attempts - 1) if again else 0.0,
            answers=result.stored, database_id=replayed.database_id, more=result.more,
        )  # fmt: skip

    def _renew(self) -> None:
        if time.monotonic() - self._renewed >= _RENEW_SECONDS:
            items.renew(self._database, self._run_id, self._lease)
            self._renewed = time.monotonic()

    def _give_up_late(self) -> None:
        """Give up what takes too long."""
        for item, since in list(self._under_way.values()):
            if time.monotonic() - since > self._timeout:
                del self._under_way[item.ordinal]
                reason = f"it took longer than {self._timeout} s; make its query faster, or raise the timeout"
                items.finish(self._database, self._run_id, self._lease, item, "failed", reason=reason)
