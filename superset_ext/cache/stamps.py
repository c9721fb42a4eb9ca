"""When an entry that is younger than its timeout is nevertheless not to be used.

Whoever knows that data has changed writes a **stamp**: the key of a tag, with the server's time in
microseconds as its value and no timeout. An entry carries its tags and `as_of`, the server's time
when the read it stores began. It is fresh while every stamp of its tags is older than that, so one
small write invalidates any number of entries, and also those that a query under way will still
write. Only the read judges; nothing is deleted.

Redis must not evict stamps: a `volatile-*` policy never does, since they have no timeout.
"""

from __future__ import annotations

from collections.abc import Sequence

from superset_ext.cache.envelope import TAGS_AT

Stamp = int | None


def area(prefix: str, clustered: bool) -> str:
    """What the keys of a region's own bookkeeping begin with; no cache key does.

    In a cluster its braces keep them all in one slot, whose clock is then the clock.
    """
    return f"{{{prefix}~}}" if clustered else f"{prefix}~"


def stamp_prefix(prefix: str, clustered: bool) -> str:
    """What a stamp's key begins with; the tag follows. `prefix` is that of the chart_data region."""
    return area(prefix, clustered) + "s:"


def fresh(as_of_us: int, stamps: Sequence[Stamp]) -> bool:
    """Whether an entry whose read began at `as_of_us` is younger than all of its tags' stamps.

    `as_of_us` 0 stands for «nobody knows», and any stamp at all makes such an entry stale. A stamp
    of the same microsecond does too: which of both came first cannot be told.
    """
    return all(stamp is None or stamp < as_of_us for stamp in stamps)


def tags_of(data: bytes) -> list[bytes]:
    """The tags in an entry's bytes, unverified: they only say which stamps to ask for."""
    if len(data) < TAGS_AT:
        return []
    block = data[TAGS_AT : TAGS_AT + int.from_bytes(data[6:8], "big")]
    return block.split(b"\n") if block else []
