"""The answers of sources, remembered for a while by this process."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

MOST = 10_000  # answers; beyond that all are forgotten, which costs a few questions
MISSING: Final = object()
Key = tuple[Any, ...]  # begins with the id of a database


class Answers:
    """What sources have answered. A value may be `None`, for a source that did not tell.

    Args:
        seconds: how long an answer is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[Key, tuple[float, Any]] = {}
        self._forgotten: dict[int, int] = defaultdict(int)

    def get(self, key: Key) -> Any:
        """An answer, or `MISSING`."""
        until, value = self._known.get(key, (0.0, None))
        return value if time.monotonic() < until else MISSING

    def age(self, database_id: int) -> int:
        """How often the answers of a database were forgotten. Ask this before the source is asked."""
        return self._forgotten[database_id]

    def put(self, database_id: int, age: int, values: Mapping[Key, Any]) -> None:
        """Remember answers, unless those of the database were forgotten since `age`, while the source was asked."""
        if len(self._known) + len(values) > MOST:
            self._known.clear()
        if self._forgotten[database_id] == age:
            until = time.monotonic() + self._seconds
            self._known.update({key: (until, value) for key, value in values.items()})

    def forget(self, database_id: int) -> None:
        """Forget the answers of a database."""
        self._forgotten[database_id] += 1
        for key in list(self._known):
            if key[0] == database_id:
                self._known.pop(key, None)
