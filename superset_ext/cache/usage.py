"""Entries that live to their end only if they are read often enough: the strategy `usage` of a rule.

Such an entry carries the number of reads as its last tag, and the timeout of its trial. The read that completes the
number gives it the rest of its life.
"""

from __future__ import annotations

from superset_ext.cache.envelope import Envelope
from superset_ext.cache.store import Store, whole
from superset_ext.cache.tags import USAGE

_DAY_MS = 86_400_000


def count_read(store: Store, name: str, envelope: Envelope) -> None:
    """Count a read of an entry whose last tag is a number of reads.

    Raises:
        StoreUnavailable: Redis did not answer; the read is not counted.
    """
    until_us = envelope.fresh_until_us
    left_ms = max(1, (until_us - store.now_us()) // 1000) if until_us else 0
    counter, key = store.names.reads + envelope.entry_id.hex().encode(), name.encode()
    expiry = ("PEXPIRE", counter, left_ms or _DAY_MS, "NX")
    answer = store.ask([(counter, ("INCR", counter)), (counter, expiry)])
    if whole(answer.replies[0]) == int(envelope.tags[-1].removeprefix(USAGE)):
        store.ask([(key, ("PEXPIRE", key, left_ms) if left_ms else ("PERSIST", key))])
