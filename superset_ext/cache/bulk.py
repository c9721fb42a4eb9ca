"""Work on many keys of a region: deleting them, and saying how long each is still fresh.

It goes in steps, each with the budget of one operation, since a region may hold millions of keys.

Everything here raises `StoreUnavailable` where Redis does not answer; part of the work may be done then.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from superset_ext.cache.envelope import MAX_BLOCK, TAGS_AT, short, times
from superset_ext.cache.redis.node import Node
from superset_ext.cache.redis.scripts import LEFT
from superset_ext.cache.stamps import fresh
from superset_ext.cache.store import Reading, Store, entry_of, whole

_NO_KEY, _NO_END = -2, -1  # answers of lua/left.lua
_NOTHING = b"\0"  # with which no key begins
_BATCH = 1000  # keys a step
_QUEUES = b"superset_ext_"  # Celery's, which may lie in the database of a region whose prefix is superset_


def clear(store: Store) -> int:
    """Delete every entry, and return how many those were. Stamps stay: queries under way need them."""
    deleted = _unlinked(store, store.names.prefix, "*", store.names.stamps or _NOTHING)
    store.ask([(store.names.seen, ("UNLINK", store.names.seen))])
    return deleted


def erase(store: Store) -> int:
    """Delete all that the region has ever written, stamps and memory too, and return how many keys those were."""
    prefix, area = store.names.prefix, store.names.area
    starts = {prefix, area} if store.topology.clustered else {prefix}
    return sum(_unlinked(store, start, "*", _QUEUES) for start in starts)


def delete_like(store: Store, pattern: str) -> int:
    """Delete the entries whose cache keys match a pattern with `*` and `?`, and return how many those were."""
    escaped = re.sub(r"([\[\]^\\-])", r"\\\1", pattern)
    return _unlinked(store, store.names.prefix, escaped, store.names.area.encode())


def left_ms(store: Store, names: Sequence[str]) -> list[float | None]:
    """Milliseconds that each entry is still fresh, `None` where there is none, or one that is out of date."""
    left: list[int] = []
    run = short(store.clock().run_id) if store.names.stamps else b""
    for start in range(0, len(names), _BATCH):
        left += _left(store, [name.encode() for name in names[start : start + _BATCH]], run)
    return [None if ms == _NO_KEY else math.inf if ms == _NO_END else ms for ms in left]


def _left(store: Store, keys: Sequence[bytes], run: bytes) -> Sequence[int]:
    if store.topology.clustered:  # where the keys of a script must be of one slot
        heads = store.ask([(key, ("GETRANGE", key, 0, TAGS_AT + MAX_BLOCK)) for key in keys]).replies
        return [_fresh_ms(reading) for reading in store.judgeable(keys, [entry_of(head) for head in heads])]
    command = ("EVALSHA", LEFT, len(keys), *keys, store.names.stamps, run)
    (reply,) = store.ask([(keys[0], command)]).replies
    return struct.unpack(f"<{len(keys)}q", whole(reply))


def _fresh_ms(reading: Reading) -> int:
    """What `lua/left.lua` answers for an entry, from a reading of its first bytes."""
    last_stamp, run, until_us = times(reading.data or b"")
    if run != short(reading.run_id) or not fresh(last_stamp, reading.stamps) or 0 < until_us <= reading.time_us:
        return _NO_KEY
    return (until_us - reading.time_us) // 1000 if until_us else _NO_END


def _unlinked(store: Store, start: str, pattern: str, kept: bytes) -> int:
    """Delete the keys that begin with `start` and go on as a pattern says, but not those that begin with `kept`."""
    deleted = 0
    for node in store.topology.primaries(store.deadline()):
        for keys in _scan(store, node, start, pattern, kept):
            replies = node.ask([(key, ("UNLINK", key)) for key in keys], store.deadline()).replies
            deleted += sum(bool(whole(reply)) for reply in replies)
    return deleted


def _scan(store: Store, node: Node, start: str, pattern: str, kept: bytes) -> Iterator[list[bytes]]:
    pattern = re.sub(r"([\[\]*?^\\-])", r"\\\1", start) + pattern
    cursor: Any = 0
    while True:
        scan = (b"", ("SCAN", cursor, "MATCH", pattern, "COUNT", _BATCH))
        cursor, keys = whole(node.ask([scan], store.deadline()).replies[0])
        if keys := [key for key in keys if not key.startswith((kept, _QUEUES))]:
            yield keys
        if int(cursor) == 0:
            return
