"""When an entry that is younger than its timeout is nevertheless not to be used.

A change of data writes a **stamp** for each tag that it concerns: a number larger than every stamp before it. An entry
carries its tags, and the last stamp that the region had given when the read that it stores began. It is fresh while no
stamp of its tags is larger than that, so one small write invalidates any number of entries, and also those that a
query under way will still write. Only the read judges; nothing is deleted.

No clock decides. A stamp is the server's time in microseconds where that is larger than the last one, so that people
can read it, and one more than the last one where it is not: a clock that was put forward and back cannot make an
answer look newer than a change.

All stamps are fields of one hash, which every read touches, beside the name of its **era**. Whoever finds no hash
begins an era of another name, and an entry of another era is not used. So stamps that were evicted, deleted or flushed
never read as «unchanged»; nor do those of a hash that had grown too large and was begun anew.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from superset_ext.cache.envelope import Envelope
from superset_ext.cache.redis.scripts import STAMP
from superset_ext.cache.store import Reading, Store, whole
from superset_ext.core.warn_once import warn
from superset_ext.events import Miss

_BATCH = 1000  # stamps in one round trip
MOST = 100_000  # tags with a stamp, about 10 MB; with more, a new era begins
_REMEMBERED_MS = 7 * 86_400_000  # for how long what was found is told


@dataclass(frozen=True, slots=True)
class Health:
    """What lies in the place of stamps.

    Attributes:
        stamps: tags that have a stamp.
        bad: values that are no stamps; the next change of their tag, or the next read, replaces each.
        replaced: bad ones that readers have found and replaced in the last seven days.
    """

    stamps: int
    bad: int
    replaced: int


def stamp(store: Store, tags: Collection[str]) -> int:
    """Stamp tags, and return the server's time, in microseconds, at which that was done.

    Raises:
        StoreUnavailable: Redis did not answer; some tags may be stamped.
    """
    ordered, time_us, key = sorted(tags), 0, store.names.stamps
    for start in range(0, len(ordered), _BATCH):
        batch = [tag.encode() for tag in ordered[start : start + _BATCH]]
        (reply,) = store.ask([(key, ("EVALSHA", STAMP, 1, key, os.urandom(8).hex(), MOST, *batch))]).replies
        seconds, micros = whole(reply)
        time_us = int(seconds) * 1_000_000 + int(micros)
    return time_us


def fresh(last_stamp: int, stamps: Sequence[int | None]) -> bool:
    """Whether an entry whose read knew all stamps up to `last_stamp` is newer than the stamps of its tags.

    `last_stamp` 0 stands for «not known», and any stamp at all makes such an entry stale.
    """
    return all(stamp is None or stamp <= last_stamp for stamp in stamps)


def outdated(envelope: Envelope, reading: Reading) -> Miss | None:
    """Why a signed entry does not say what the data is now.

    A server that started anew may have lost stamps, and in a new era they are lost, so what was stored before counts
    as evicted. An entry from the future was stored before the server's clock was set back: its timeout is wrong.
    """
    if envelope.run_id != reading.run_id:
        return Miss.EVICTED
    known = len(reading.stamps) == len(envelope.tags) and envelope.as_of_us <= reading.time_us
    return None if known and fresh(envelope.last_stamp, reading.stamps) else Miss.INVALIDATED


def repair(store: Store, readings: Sequence[Reading]) -> int:
    """Give stamps anew that something else lies in place of, in readings of signed entries; how many those were.

    What changed meanwhile cannot be known, so it is as if all of it had.

    Raises:
        StoreUnavailable: Redis did not answer; some may be left as they are.
    """
    bad = {tag for reading in readings for tag in reading.bad_tags()}
    if bad:
        text = "%d marks of changes in Redis were none and were replaced; find out who else writes to this Redis"
        warn("bad stamps", text, len(bad))
        stamp(store, {tag.decode() for tag in bad})
        counter = _counter(store)
        store.ask([(counter, ("INCRBY", counter, len(bad))), (counter, ("PEXPIRE", counter, _REMEMBERED_MS))])
    return len(bad)


def health(store: Store) -> Health:
    """What lies in the place of stamps, all of it asked for: not for a request's path.

    Raises:
        StoreUnavailable: Redis did not answer, or something else lies under the key of the stamps.
    """
    key, counter = store.names.stamps, _counter(store)
    fields, replaced = map(whole, store.ask([(key, ("HGETALL", key)), (counter, ("GET", counter))]).replies)
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    last = values.pop(b"~", b"").split(b" ")
    newest = int(last[1]) if len(last) == 3 and last[1].isdigit() else 0
    bad = sum(not (len(value) == 16 and value.isdigit() and int(value) <= newest) for value in values.values())
    return Health(len(values), bad, int(replaced or 0))


def _counter(store: Store) -> bytes:
    return store.names.area.encode() + b"bad"
