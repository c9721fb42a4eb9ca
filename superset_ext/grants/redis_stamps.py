"""Whether Superset has written what rights and answers depend on, by stamps in Redis: where there can be no triggers.

SQLAlchemy's events see each statement that a Superset process sends to the metadata database. Before the first one that
writes, and again before the commit, the process stamps and holds; when the connection goes back to the pool, it stamps
anew and lets go. While anybody holds, nothing is granted and nothing is stored. So an answer that was stored before the
commit fails by the first stamp, one that was made while the commit was under way is not stored, and a process that dies
between both leaves its hold, which ends by itself when the server has long rolled back or committed.

A stamp is random and no counter, so that one that was evicted or lost never comes again. What is not seen: SQL of other
tools, raw cursors, and a Redis that a writer cannot reach while others can. So these grants live short.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import event

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.redis.scripts import HOLD, MARK
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable
from superset_ext.grants.metadata_stamps import Mark
from superset_ext.grants.tables import IDLE

LIFE_SECONDS = 10.0  # for which an answer is given again at most
_HOLD_MS = 60_000
_RETRY_SECONDS = 0.2
_HELD = "superset_ext_hold"  # in a connection's `info`
_READS = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:select|show|begin|savepoint|release|rollback|set|pragma|explain|commit)\b",
    re.IGNORECASE | re.DOTALL,
)
_TARGET = re.compile(r"\s*(?:insert\s+into|update|delete\s+from)\s+[\"`]?(\w+)[\"`]?\s", re.IGNORECASE)
_COLUMN = r"(?:last_login|login_count|fail_login_count|changed_on|changed_by_fk)=(?:%\(\w+\)s|%s|\?|:\w+)"
_LOGIN = re.compile(
    rf"UPDATE ab_user SET {_COLUMN}(?:, {_COLUMN})* WHERE ab_user\.id = (?:%\(\w+\)s|%s|\?|:\w+)"  # noqa: S608
)


class RedisStamps:
    """Stamps of what Superset's processes write.

    Args:
        charts: the region whose Redis has the stamps.
    """

    def __init__(self, charts: ChartCache) -> None:
        self._charts = charts
        reset_on_fork(self)

    def reset(self) -> None:
        """Owe no stamp."""
        self._lock = threading.Lock()
        self._owed: dict[str, int] = {}

    def install(self, engine: Any) -> None:
        """Listen to an engine from now on."""
        event.listen(engine, "before_cursor_execute", self._sent)
        event.listen(engine, "commit", self._committing)
        event.listen(engine.pool, "checkin", self._returned)

    def ready(self) -> bool:
        """Always: Redis is asked anyway."""
        return True

    def now(self) -> Mark | None:
        """The stamp of this moment; `None` while somebody writes, or where Redis does not answer."""
        try:
            stamp = self._charts.run(MARK, ("metadata", "holds"), secrets.token_hex(16))
        except StoreUnavailable:
            return None
        return (stamp.decode(), "redis") if stamp else None

    def begin(self) -> None:
        """Nothing is asked early: Redis is asked afterwards."""

    def holds(self, mark: Mark, dashboards: Sequence[int] | None = None, early: object = None) -> bool:
        """Whether nobody has written since, or is writing now, whatever it was."""
        return self.now() == tuple(mark)

    def _sent(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not connection.info.get(_HELD) and writes(statement):
            self._hold(connection.info)

    def _committing(self, connection: Any) -> None:
        if connection.info.get(_HELD):
            self._hold(connection.info)

    def _hold(self, info: Any) -> None:
        token = info.setdefault(_HELD, secrets.token_hex(16))
        self._attempt(token, _HOLD_MS)

    def _returned(self, _connection: Any, record: Any) -> None:
        token = record.info.pop(_HELD, None)
        if token is not None:
            self._attempt(token, 0)

    def _attempt(self, token: str, ms: int) -> None:
        """Stamp; where Redis does not answer, a thread goes on trying, since the writer must not fail."""
        with self._lock:
            if token in self._owed:  # a thread tries already; it is told what is wanted by now
                self._owed[token] = ms
                return
        try:
            self._stamp(token, ms)
        except StoreUnavailable:
            warn("grants stamp", "a change of Superset's objects could not be stamped yet; it is tried until it can")
            with self._lock:
                self._owed[token] = ms
            threading.Thread(target=self._until_done, args=(token,), name="superset_ext-stamp", daemon=True).start()

    def _stamp(self, token: str, ms: int) -> None:
        self._charts.run(HOLD, ("metadata", "holds"), secrets.token_hex(16), token, ms)

    def _until_done(self, token: str) -> None:
        """Stamp what is owed: a hold while the writer is under way, and no end of one before it is at its end."""
        while token in self._owed:
            time.sleep(_RETRY_SECONDS)
            ms = self._owed[token]
            with suppress(StoreUnavailable):
                self._stamp(token, ms)
                with self._lock:
                    if self._owed[token] == ms:  # else the writer has gone on meanwhile
                        del self._owed[token]


def writes(statement: str) -> bool:
    """Whether a statement may write what decides something; what does not read as plain SQL may."""
    if _READS.match(statement) or _LOGIN.fullmatch(statement):
        return False
    target = _TARGET.match(statement)
    return target is None or target[1].lower() not in IDLE
