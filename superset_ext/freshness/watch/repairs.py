"""Puts back the triggers of watched tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, WatchError
from superset_ext.freshness.watch.schema import make_ready
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.triggers import add_relation, relation_of
from superset_ext.freshness.watch.watched import Name, Watched

FIRST_PAUSE = 2.0  # seconds between two attempts; it doubles with each
LONGEST_PAUSE = 15.0  # writers wait while an attempt waits for a lock
PATIENCE = 0.1  # seconds that an attempt waits for a lock; nothing is stamped meanwhile


class Repairs:
    """Puts back the watches that are wanted and not intact, less and less often while that fails.

    Args:
        connection: a psycopg2 connection to the source.
        wanted: returns the tables to watch there; it may raise `LogUnavailable`.
    """

    def __init__(self, connection: Any, wanted: Callable[[], Collection[Name]]) -> None:
        self._connection = connection
        self._wanted = wanted
        self._pauses: dict[Name, float] = {}
        self._next: dict[Name, float] = {}

    def due(self, watches: Collection[Watched]) -> set[Name]:
        """The tables whose watch is not intact, and is to be tried now."""
        intact = {watched.name for watched in watches if watched.intact}
        for name in intact & set(self._pauses):
            del self._pauses[name], self._next[name]
        known = {watched.name for watched in watches}
        with suppress(LogUnavailable):  # until the log database answers, what is on the source counts
            known.update(self._wanted())
        return {name for name in known - intact if self._next.get(name, 0.0) <= time.monotonic()}

    def make(self, name: Name) -> bool:
        """Try to put a watch back; whether that succeeded."""
        pause = self._pauses[name] = min(LONGEST_PAUSE, self._pauses.get(name, FIRST_PAUSE / 2) * 2)
        self._next[name] = time.monotonic() + pause
        try:
            return self._make(name)
        except (WatchError, LogUnavailable) as error:
            if self._connection.closed:
                raise
            warn(f"watch.repair.{name}", "changes of %s may not be heard of: %s", name, error)
            return False

    def _make(self, name: Name) -> bool:
        with transaction(self._connection) as cursor:
            make_ready(cursor, PATIENCE)
            if name not in self._wanted():  # somebody removed it while we waited
                return False
            add_relation(cursor, relation_of(cursor, name), two_phase_unused=True, patience=PATIENCE)
            return True
