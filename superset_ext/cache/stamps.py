"""When an entry that is younger than its timeout is nevertheless not to be used.

A change of data writes a **stamp** for each tag that it concerns: the key of the tag, with the server's time in
microseconds as its value and no timeout. An entry carries its tags and `as_of`, the server's time
when the read that it stores began. It is fresh while every stamp of its tags is older than that, so one
small write invalidates any number of entries, and also those that a query under way will still
write. Only the read judges; nothing is deleted.

Redis must not evict stamps: a `volatile-*` policy never does, since they have no timeout.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from superset_ext.cache.redis.scripts import STAMP
from superset_ext.cache.store import Store, whole

_BATCH = 1000  # stamps in one round trip


def stamp(store: Store, tags: Collection[str]) -> int:
    """Stamp tags, and return the server's time, in microseconds, that they now have.

    Raises:
        StoreUnavailable: Redis did not answer; some tags may be stamped.
    """
    ordered, time_us = sorted(tags), 0
    for start in range(0, len(ordered), _BATCH):
        keys = [store.names.stamps + tag.encode() for tag in ordered[start : start + _BATCH]]
        (reply,) = store.ask([(keys[0], ("EVALSHA", STAMP, len(keys), *keys))]).replies
        seconds, micros = whole(reply)
        time_us = int(seconds) * 1_000_000 + int(micros)
    return time_us


def fresh(as_of_us: int, stamps: Sequence[int | None]) -> bool:
    """Whether an entry whose read began at `as_of_us` is younger than all stamps of its tags.

    `as_of_us` 0 stands for «not known», and any stamp at all makes such an entry stale. A stamp
    of the same microsecond does too: which of both came first cannot be told.
    """
    return all(stamp is None or stamp < as_of_us for stamp in stamps)
