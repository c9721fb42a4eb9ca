"""Entries that a process has read before: the same bytes under the same name are not checked and decoded again.

A signature says the same of the same bytes each time. What an entry is judged by otherwise (stamps, times, the run of
the server) is no part of this. What is kept is used while Redis has an entry of its id, which is drawn for each; such
an entry need not be sent again.
"""

from __future__ import annotations

from typing import Any

from superset_ext.cache.envelope import Envelope

MOST_BYTES = 8 * 1024**2  # of entries and what they decode to, in a process; with more, it begins anew
_LARGEST = MOST_BYTES // 16  # of one entry

Verdict = tuple[Envelope, Any]


class Known:
    """What some entries came to, by their names."""

    def __init__(self) -> None:
        self._verdicts: dict[str, tuple[bytes, Verdict]] = {}
        self._bytes = 0

    def data(self, name: str) -> bytes | None:
        """The bytes that were read before under a name."""
        known = self._verdicts.get(name)
        return None if known is None else known[0]

    def get(self, name: str, data: bytes | None) -> Verdict | None:
        """What these bytes came to under this name; `None` where that is not known."""
        known = self._verdicts.get(name)
        return known[1] if known is not None and known[0] == data else None

    def put(self, name: str, data: bytes, verdict: Verdict) -> None:
        """Keep what an entry came to that was checked; nobody may change it."""
        weight = len(data) + verdict[0].raw_size
        if weight > _LARGEST:
            return
        self._bytes += weight
        if self._bytes > MOST_BYTES:
            self._verdicts, self._bytes = {}, weight
        self._verdicts[name] = data, verdict
