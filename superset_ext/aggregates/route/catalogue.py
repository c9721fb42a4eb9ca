"""Looks at sources in the background: which aggregates they have. No chart waits for that.

A thread of its own does it, for the sources that charts have asked for of late. What a chart is answered from is looked
at again in the transaction that reads it (`guard.py`), so that a look may be old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from superset_ext.aggregates.route.engines import look
from superset_ext.aggregates.route.looked import Looked
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.signals import attempt
from superset_ext.core.warn_once import warn
from superset_ext.core.within import within
from superset_ext.errors import SupersetExtError

EVERY_SECONDS = 5.0  # between two looks at a source
WANTED_SECONDS = 300.0  # for which a source is looked at that no chart asks for
PATIENCE_SECONDS = 10.0  # for a source that does not answer


class Catalogue:
    """The sources of this process, as it last looked at them.

    Args:
        app: Superset's.
        noted: called with a database's id and its aggregates after a look.
    """

    def __init__(self, app: Any, noted: Callable[[int, Sequence[Kept]], None]) -> None:
        self._app = app
        self._noted = noted
        reset_on_fork(self)

    def reset(self) -> None:
        """Know no source, and have no thread."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked: dict[int, Looked] = {}
        self._wanted: dict[int, float] = {}  # when it was last asked for (monotonic)
        self._at: dict[int, float] = {}  # when it was last looked at (monotonic)

    def source(self, database_id: int) -> Looked | None:
        """A source as it was last looked at; `None` while that is to come, and where it does not answer."""
        self._wanted[database_id] = monotonic()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="superset_ext-aggregates", daemon=True)
                    self._thread.start()
        return self._looked.get(database_id)

    def soon(self, database_id: int) -> None:
        """Look at a source before long: it is not what it was."""
        self._at.pop(database_id, None)
        self._wake.set()

    def _work(self) -> None:
        while True:
            for database_id in self._due():
                self._at[database_id] = monotonic()
                attempt(self.look, database_id)
            self._wake.wait(1.0)
            self._wake.clear()
            with self._lock:
                now = monotonic()
                if all(now - wanted > WANTED_SECONDS for wanted in self._wanted.values()):
                    self._looked.clear()
                    self._thread = None
                    return

    def _due(self) -> list[int]:
        now = monotonic()
        asked = [number for number, wanted in list(self._wanted.items()) if now - wanted <= WANTED_SECONDS]
        return [number for number in asked if now - self._at.get(number, float("-inf")) >= EVERY_SECONDS]

    def look(self, database_id: int) -> None:
        """Look at a source; where it does not answer, nothing is answered from its aggregates."""
        try:
            looked, all_kept = within(PATIENCE_SECONDS, look, self._app, database_id)
        except (SupersetExtError, TimeoutError) as error:
            self._looked.pop(database_id, None)
            text = "no chart is answered from an aggregate of database %d: %s"
            warn(f"aggregates of {database_id}", text, database_id, error)
            return
        self._looked[database_id] = looked.after(self._looked.get(database_id))
        attempt(self._noted, database_id, all_kept)
