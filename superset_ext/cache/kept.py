"""What was made of entries and is kept beside them: an answer while its entries are fresh, a document of none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from superset_ext.cache import query as queries
from superset_ext.cache.entries import Entries, Lifetime
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.known import Known
from superset_ext.cache.query import Read
from superset_ext.cache.stamps import outdated
from superset_ext.cache.store import Reading, Store
from superset_ext.cache.tags import PART, USAGE
from superset_ext.events import Miss

_PLAIN = re.compile(r"[!-~]+")


class Kept:
    """What a region keeps that nobody asked it for as an entry; nothing of it is counted.

    Args:
        store: the region's.
        entries: what signs and reads them.
    """

    def __init__(self, store: Store, entries: Entries) -> None:
        self._store = store
        self._entries = entries
        self._known = Known()

    def grant(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> tuple[Envelope, Any] | None:
        """What `keep_grant` stored, while the entries that it was made of are there and fresh; nothing is counted.

        Args:
            read: makes of what was stored what is returned, the same each time.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if self._store.topology.clustered:
            return None  # nothing is kept there
        name = self._store.name(key)
        reading, same = self._store.read_with_parts(name, self._known.data(name))
        entry = self._read(name, reading, read)
        return entry if same and entry is not None and _is_fresh(entry[0], reading) else None

    def keep_grant(self, key: str, value: Any, parts: Mapping[str, Envelope], seconds: float) -> bool:
        """Store what was made of some entries, for `seconds` and no longer than any of them; whether it was stored.

        Args:
            parts: the entries by their names; all were read from the same run of the server.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        life = _of_parts(parts, seconds, self._store.now_us())
        first = next(iter(parts.values()))
        if life is None or self._store.topology.clustered:
            return False
        name = self._store.name(key)
        as_of_us, last_stamp = (
            min(getattr(part, name) for part in parts.values()) for name in ("as_of_us", "last_stamp")
        )
        read = Read(as_of_us, time.perf_counter(), first.run_id, last_stamp)
        data = self._entries.encode(name, value, read, life)
        return isinstance(data, bytes) and self._store.write({name: data}, life.ttl_ms)[0]

    def document(self, key: str) -> Any:
        """What `keep_document` stored, `None` where it is gone; nothing is counted.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        name = self._store.name(key)
        reading = self._store.read(name)[0]
        verdict = self._entries.judge(name, reading)
        return None if isinstance(verdict, Miss) or not _is_fresh(verdict[0], reading) else verdict[1]

    def keep_document(self, key: str, value: Any, seconds: float) -> bool:
        """Store for `seconds` what was made of no entry; whether it was stored.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        name, life = self._store.name(key), Lifetime(int(seconds * 1000))
        data = self._entries.encode(name, value, queries.unasked(self._store.clock()), life)
        return isinstance(data, bytes) and self._store.write({name: data}, life.ttl_ms)[0]

    def _read(self, name: str, reading: Reading, read: Callable[[Any], Any]) -> tuple[Envelope, Any] | None:
        """What an entry says, of which `read` makes something once for the same bytes."""
        known = self._known.get(name, reading.data)
        if known is None:
            verdict = self._entries.judge(name, reading)
            if isinstance(verdict, Miss):
                return None
            known = verdict[0], read(verdict[1])
            self._known.put(name, reading.data or b"", known)
        return known


def _is_fresh(envelope: Envelope, reading: Reading) -> bool:
    over = 0 < envelope.fresh_until_us < reading.time_us
    return not over and outdated(envelope, reading) is None


def _of_parts(parts: Mapping[str, Envelope], seconds: float, now_us: int) -> Lifetime | None:
    """How long something lives that was made of entries; `None` where these do not tell enough."""
    if any(not part.as_of_us or any(tag.startswith(USAGE) for tag in part.tags) for part in parts.values()):
        return None
    if len({part.run_id for part in parts.values()}) != 1 or any(not _PLAIN.fullmatch(name) for name in parts):
        return None
    ends = [part.fresh_until_us for part in parts.values() if part.fresh_until_us]
    fresh_ms = min([int(seconds * 1000), *((end - now_us) // 1000 for end in ends)])
    tags = {tag for part in parts.values() for tag in part.tags if not tag.startswith(PART)}
    names = {f"{PART}{part.entry_id.hex()}:{name}" for name, part in parts.items()}
    return Lifetime(fresh_ms, tags=(*sorted(tags), *sorted(names))) if fresh_ms > 0 else None
