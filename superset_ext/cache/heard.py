"""Whether somebody listens to the databases whose tables are watched.

Answers from a watched table are trusted because a listener tells of each commit. So a listener says every few seconds
that it hears, and of which tables. Each process looks at that once a second, in the round trip of a read. When a
listener has not been heard for `PATIENCE` seconds, nobody knows what has changed since: the tags of its tables are
stamped once a second, so that charts on them go to the database, until it is heard again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from superset_ext.cache.redis.node import Addressed
from superset_ext.cache.stamps import stamp
from superset_ext.cache.store import Store, whole
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable

PATIENCE = 30.0  # seconds without a word after which a listener is not heard any more
EVERY_MS = 1000  # between two stamps of what nobody tells of


def beat(store: Store, database_id: int, tags: Collection[str], hears: bool = True) -> None:
    """Say that a listener hears of everything that changes what these tags stand for, or that these are watched.

    Args:
        tags: none where nothing of the database is watched any more.
        hears: whether somebody does; otherwise what was said before counts.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    heard, known = store.names.heard, _tags(store, database_id)
    commands: list[Addressed] = [(known, ("DEL", known))]
    if tags:
        commands.append((known, ("SADD", known, *(tag.encode() for tag in sorted(tags)))))
    if hears and tags:
        until_us = store.clock().time_us + int(PATIENCE * 1e6)
        commands.append((heard, ("HSET", heard, database_id, until_us)))
    if not tags:
        commands.append((heard, ("HDEL", heard, database_id)))
    for reply in store.ask(commands).replies:
        whole(reply)


def unheard(until: Mapping[bytes, bytes], time_us: int) -> list[int]:
    """The databases whose listener is not heard any more, from what lies in Redis and the server's time.

    A time too far ahead is of a clock that was set back since.
    """
    latest_us = time_us + int(2 * max(PATIENCE, 0) * 1e6)
    numbers = [number for number, us in until.items() if not time_us <= _number(us) <= latest_us]
    return [int(number) for number in numbers if number.isdigit() and len(number) < 10]


def distrust(store: Store, database_ids: Collection[int]) -> bool:
    """Stamp what is watched in these databases, unless that was done within the last second; whether any was.

    Raises:
        StoreUnavailable: Redis did not answer, or refused; until it is stamped, nothing is to be trusted.
    """
    stamped = [_distrust(store, number) for number in database_ids]
    return any(stamped)


def _distrust(store: Store, number: int) -> bool:
    key = _tags(store, number)
    gate = key + b":told"
    if whole(store.ask([(gate, ("GET", gate))]).replies[0]) is not None:
        return False
    tags: Any = whole(store.ask([(key, ("SMEMBERS", key))]).replies[0])
    text = "no listener to database %d is heard, so its %d watched tags are not trusted; start: superset perf listen"
    warn(f"heard.{number}", text, number, len(tags))
    stamp(store, {tag.decode() for tag in tags})
    # Only now: whoever sees the gate trusts that this is stamped. Without it, it is only stamped more often.
    with suppress(StoreUnavailable):
        store.ask([(gate, ("SET", gate, 1, "PX", EVERY_MS))])
    return True


def listeners(store: Store) -> dict[int, float]:
    """Seconds since each database's listener was last heard, by the database's id.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    now_us, heard = store.clock().time_us, store.names.heard
    fields = whole(store.ask([(heard, ("HGETALL", heard))]).replies[0])
    deadlines = dict(zip(fields[::2], fields[1::2], strict=True))
    return {
        int(number): (now_us - _number(us)) / 1e6 + PATIENCE for number, us in deadlines.items() if number.isdigit()
    }


def _number(text: bytes) -> int:
    """Until when a listener is heard; what is no time is long over."""
    return int(text) if text.isdigit() and len(text) < 18 else 0


def _tags(store: Store, database_id: int) -> bytes:
    return b"%b:%d" % (store.names.heard, database_id)
