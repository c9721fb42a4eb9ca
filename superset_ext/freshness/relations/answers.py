"""The answers of sources, remembered for a while by this process.

An answer is remembered with the stamp of `cache.tags.VIEWS` that was known before the source was asked. All processes
see that stamp, so that an answer is of use to nobody once any of them was told that a definition changed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

MOST = 10_000  # answers; beyond that all are forgotten, which costs a few questions
MISSING: Final = object()
Key = tuple[Any, ...]  # begins with the id of a database
Known = tuple[str, int]  # the run of Redis, and the stamp


class Answers:
    """What sources have answered. A value may be `None`, for a source that did not tell.

    Args:
        seconds: how long an answer is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[Key, tuple[float, Known | None, Any]] = {}
        self._forgotten: dict[int, int] = defaultdict(int)

    def get(self, key: Key, now: Known | None) -> Any:
        """An answer, or `MISSING`.

        Args:
            now: the stamp by now; `None` where Redis does not say, and then nothing is stored either.
        """
        until, known, value = self._known.get(key, (0.0, None, None))
        if time.monotonic() >= until:
            return MISSING
        return value if now is None or now == known else MISSING

    def age(self, database_id: int) -> int:
        """How often the answers of a database were forgotten. Ask this before the source is asked."""
        return self._forgotten[database_id]

    def put(self, database_id: int, age: int, known: Known | None, values: Mapping[Key, Any]) -> None:
        """Remember answers, unless those of the database were forgotten since `age`, while the source was asked.

        Args:
            known: the stamp before the source was asked.
        """
        if len(self._known) + len(values) > MOST:
            self._known.clear()
        if self._forgotten[database_id] == age:
            until = time.monotonic() + self._seconds
            self._known.update({key: (until, known, value) for key, value in values.items()})

    def forget(self, database_id: int) -> None:
        """Forget the answers of a database."""
        self._forgotten[database_id] += 1
        for key in list(self._known):
            if key[0] == database_id:
                self._known.pop(key, None)
