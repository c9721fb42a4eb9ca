"""The entries of a region in Redis, each read and written in as few round trips as possible.

A read is one: a script that turns the entry's tags into stamps and says the time, and a plain GET of
the bytes, sent together and matched by the entry's id. In a cluster it is two: the entry from its
own slot, then clock, stamps and memory from the one slot that holds them all.

**Memory of keys.** Beside the entries a sorted set remembers, for the `key_memory` keys whose
deadlines are latest, when each was to expire. An entry that is gone before its deadline was evicted,
one after it expired, and one that is not remembered is cold. How sure that is: a key that was
forgotten because more than `key_memory` came after it counts as cold; one that was deleted
without our `delete` counts as evicted; deadlines follow the server's clock to within a round trip.

Everything here that asks Redis raises `StoreUnavailable` where Redis does not answer in time, or refuses.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from superset_ext.cache.envelope import tags_of
from superset_ext.cache.lease import Lease
from superset_ext.cache.names import Names
from superset_ext.cache.redis.node import Addressed, Answer, Command
from superset_ext.cache.redis.scripts import FILL, GRANT, READ, STAMPS, SWAP
from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.cache.redis.topology import Topology
from superset_ext.cache.tags import VIEWS
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable

FILLED, FAILED = b"1", b"0"  # how the end of a lease is published, after the entry's digest
_FOR_EVER = 2**53 - 1  # the deadline, in ms, of what has none: the largest integer that a score holds exactly
_DIGITS = 16  # of a stamp, until the year 2286
_KEEP = -1
_TOLERATED_US = 1_000_000  # by which what is known of the server's time may be behind
_ID = slice(8, 24)
_NO_ID = bytes(16)
_LOOK_SECONDS = 1.0
_NONE = b"-"
_DRIFT = 1e-4  # the crystals of two machines differ by a few millionths of a second each second
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server knows of one key.

    Attributes:
        data: the entry's bytes, `None` where there are none.
        time_us: the server's time before the bytes were read, in microseconds.
        stamps: of the entry's tags in their order, `None` for a tag without one.
        deadline_ms: when the absent entry was to expire, in ms of the server's time; `None` if not remembered.
        run_id: of the server that holds the stamps, and their era; empty where there is none.
        last_stamp: the last stamp that the region had given.
        views: the stamp of `VIEWS` after that, 0 where it has none; `None` where it was not asked for.
    """

    data: bytes | None
    time_us: int
    stamps: tuple[int | None, ...]
    deadline_ms: int | None
    run_id: str
    last_stamp: int = 0
    views: int | None = None

    def bad_tags(self) -> list[bytes]:
        """The entry's tags whose stamps are none, or were never given."""
        pairs = zip(tags_of(self.data or b""), self.stamps, strict=False)
        return [tag for tag, stamp in pairs if stamp is not None and stamp > self.last_stamp]


class ServerClock:
    """What the clock of a server has shown at least at a moment of this process.

    A time that comes with an answer is of a moment before it came. So the server is never less ahead than one answer
    says, and what most of them say is nearest: that of the answer that came soonest (as in NTP, RFC 5905). Two clocks
    drift apart by less than `_DRIFT`. It stands here since each reading tells it the time.
    """

    def __init__(self) -> None:
        self._ahead_us: int | None = None  # of `time.perf_counter()` here, at least
        self._heard = 0.0

    def hear(self, time_us: int) -> None:
        """Take a time, in microseconds, that has come just now."""
        now = time.perf_counter()
        ahead_us = time_us - int(now * _US)
        if self._ahead_us is not None:
            ahead_us = max(ahead_us, self._ahead_us - int((now - self._heard) * _DRIFT * _US))
        self._ahead_us, self._heard = ahead_us, now

    def at(self, moment: float, asked: float, time_us: int) -> int:
        """What the clock has shown at a moment of this process, in microseconds, or somewhat less.

        Args:
            moment: by `time.perf_counter()`, in seconds, as `asked`.
            asked: when the server was asked that has answered `time_us`. Where it should have shown more by then, its
                clock was put back.
        """
        if self._ahead_us is None or int(asked * _US) + self._ahead_us > time_us:
            self._ahead_us = None
            self.hear(time_us)
        return int(moment * _US) + (self._ahead_us or 0)


class Store:
    """The entries of one region.

    Attributes:
        server_clock: what the clock of the server with the stamps has shown.
        unheard: called with what lies in Redis of listeners, and the server's time; whether it has written stamps.

    Args:
        topology: where they are.
        names: how their keys are written.
        key_memory: keys to remember after they are gone.
        total: seconds that an operation may take.
    """

    def __init__(self, topology: Topology, names: Names, key_memory: int, total: float) -> None:
        self.unheard: Callable[[Mapping[bytes, bytes], int], bool] | None = None
        self.topology = topology
        self.names = names
        self._key_memory = key_memory
        self._total = total
        self._skew_us = 0
        self.server_clock = ServerClock()
        self._run_id = ""
        self._last_run = ("", b"", "")
        self._look_at = 0.0  # when to look next whether listeners are heard, by the monotonic clock

    def name(self, key: str) -> str:
        """The Redis key of a cache key; `~` after the prefix is kept for our own."""
        return f"{self.names.prefix}{'~~' if key.startswith('~') else ''}{key}"

    def now_us(self) -> int:
        """The server's time in microseconds, as far as it is known without asking."""
        return time.time_ns() // 1000 + self._skew_us

    def last_run_id(self) -> str:
        """The run id of the server that holds the stamps, and their era, as last heard; asked if it never was."""
        return self._run_id or self.clock().run_id

    def deadline(self) -> float:
        """When an operation that begins now must end, in `time.monotonic()` seconds."""
        return time.monotonic() + self._total

    def ask(self, commands: Sequence[Addressed], weigh: bool = False) -> Answer:
        """The answer to commands in one round trip; see `Node.ask`."""
        return self.topology.ask(commands, time.monotonic() + self._total, weigh)

    def clock(self) -> Reading:
        """The server's time, run id, era and last stamp, and nothing else."""
        if self.names.stamps:
            return self.judgeable([b""], [None])[0]
        answer = self.ask([(self.names.seen, ("TIME",))])
        return self._reading([*whole(answer.replies[0]), _NONE, _NONE, _NONE], None, answer.run_id)

    def read(self, *names: str) -> list[Reading]:
        """All that is known of some keys."""
        keys = [name.encode() for name in names]
        if self.topology.clustered:
            return self._read_in_two(keys)
        look = self._look()
        answer = self.ask([*look, *(command for key in keys for command in self._reads(key))])
        readings = self._readings(keys, answer.replies[len(look) :], answer.run_id)
        return self._heard(answer.replies[: len(look)], readings) or self.read(*names)

    def read_after(self, first: Addressed, name: str) -> tuple[Any, Reading]:
        """The reply to a command, and then what is known of a key: in one round trip, in a cluster in three."""
        key = name.encode()
        if self.topology.clustered:
            reply = whole(self.ask([first]).replies[0])
            entry = entry_of(self.ask([(key, ("GET", key))]).replies[0])
            return reply, self.judgeable([key], [entry], views=True)[0]
        answer = self.ask([first, *self._reads(key), *self._asks_views()])
        reply, head, data, *views = answer.replies
        return whole(reply), self._readings([key], [head, data], answer.run_id, _views_of(views))[0]

    def views(self) -> Reading:
        """The time and the stamp of `VIEWS`, where no reading has brought it."""
        return self.judgeable([b""], [None], views=True)[0]

    def read_with_parts(self, name: str, known: bytes | None = None) -> tuple[Reading, bool]:
        """All that is known of an entry, and whether the entries that it was made of are the same still.

        In one round trip; not in a cluster, where they lie on several servers.

        Args:
            known: what the entry was when it was read before. It is not sent again while it has the same id.
        """
        key, look = name.encode(), self._look()
        commands = [*look, (key, ("EVALSHA", GRANT, *self._judging(key)))]
        if known is None:
            commands.append((key, ("GET", key)))
        answer = self.ask(commands)
        reply, *sent = answer.replies[len(look) :]
        word = bytes(whole(reply))
        head, is_there = word[1:], word[1:17] != _NO_ID
        if known is not None and is_there and not head.startswith(known[_ID]):
            if look:
                self._look_at = 0.0  # what was heard is asked again, too
            return self.read_with_parts(name)  # another one by now
        data = sent[0] if sent else known if is_there else None
        heard = self._heard(answer.replies[: len(look)], self._readings([key], [head, data], answer.run_id))
        if heard is None:
            return self.read_with_parts(name)
        data = heard[0].data
        return heard[0], word[:1] == b"1" and data is not None and head.startswith(data[_ID])

    def write(self, entries: Mapping[str, bytes], ttl_ms: int) -> list[bool]:
        """Store entries for `ttl_ms`, 0 for ever, and return of each whether the server had room for it.

        Where it had none, the old entry is deleted: it must not be read again by whoever stored the newer one.
        """
        keys = {name.encode(): data for name, data in entries.items()}
        expiry: Command = ("PX", ttl_ms) if ttl_ms else ()
        sets = [(key, ("SET", key, data, *expiry)) for key, data in keys.items()]
        replies = self.ask([*sets, *self._remember(list(keys), ttl_ms)], weigh=True).replies[: len(keys)]
        refused = [name for name, reply in zip(entries, replies, strict=True) if isinstance(reply, OutOfMemoryError)]
        if refused:
            self.delete(*refused)
        return [not isinstance(reply, OutOfMemoryError) and bool(whole(reply)) for reply in replies]

    def fill(self, name: str, data: bytes, ttl_ms: int, lease: Lease | None) -> bool | None:
        """Store an entry as `write` does, but not over one whose read began later: `None` where one is there.

        A lease goes back with it, except in a cluster, where leases have a slot of their own.
        """
        key = name.encode()
        travelling = None if self.topology.clustered else lease
        command = self._fill(key, data, ttl_ms, travelling)
        reply = self.ask([(key, command), *self._remember([key], ttl_ms)], weigh=True).replies[0]
        if travelling is not None:
            # A script that was refused, or ended half-way, has given nothing back.
            travelling.is_returned = not isinstance(reply, Exception)
        if isinstance(reply, OutOfMemoryError):
            self.delete(name)
            return False
        return True if whole(reply) else None

    def _fill(self, key: bytes, data: bytes, ttl_ms: int, lease: Lease | None) -> Command:
        latest = (self.now_us() + _TOLERATED_US).to_bytes(8, "big")
        if lease is None:
            return ("EVALSHA", FILL, 1, key, data, ttl_ms, latest)
        ends = (lease.token, self.names.channel, lease.digest + FILLED, lease.digest + FAILED)
        return ("EVALSHA", FILL, 2, key, self.names.leases + key, data, ttl_ms, latest, *ends)

    def swap(self, name: str, seen: bytes | None, data: bytes, ttl_ms: int | None) -> bool:
        """Store an entry if the one there is still `seen`; `ttl_ms` `None` keeps the old one's timeout.

        A server that is full counts as unavailable.
        """
        key = name.encode()
        left = _KEEP if ttl_ms is None else ttl_ms
        command: Command = ("EVALSHA", SWAP, 1, key, (seen or b"")[_ID], data, left)
        swapped = whole(self.ask([(key, command)], weigh=True).replies[0])
        if swapped and ttl_ms is not None and self._key_memory:
            self.ask(self._remember([key], ttl_ms))
        return bool(swapped)

    def delete(self, *names: str) -> list[bool]:
        """Delete keys, and return of each whether it was there."""
        if not names:
            return []
        keys = [name.encode() for name in names]
        commands: list[Addressed] = [(key, ("UNLINK", key)) for key in keys]
        commands.append((self.names.seen, ("ZREM", self.names.seen, *map(digest_of, keys))))
        return [bool(whole(reply)) for reply in self.ask(commands, weigh=True).replies[:-1]]

    def is_full(self, name: str, share: float) -> bool:
        """Whether the server of this key is above `share` of its memory and evicts nothing, as last heard."""
        info = self.topology.node(name.encode(), self.deadline()).info
        return info is not None and info.maxmemory > 0 and info.refuses(share)

    def server_info(self) -> ServerInfo:
        """The memory of the server, or of a cluster's nodes together."""
        deadline = self.deadline()
        return ServerInfo.together([node.measured(deadline) for node in self.topology.primaries(deadline)])

    def remembered(self) -> int:
        """Keys in the memory of keys whose deadline is still to come: entries, and what was evicted of them."""
        now_ms = self.now_us() // 1000
        return int(whole(self.ask([(self.names.seen, ("ZCOUNT", self.names.seen, now_ms, "+inf"))]).replies[0]))

    def judgeable(self, keys: Sequence[bytes], entries: Sequence[bytes | None], views: bool = False) -> list[Reading]:
        """Readings of entries whose bytes are known: the time, the stamps and perhaps the views are read after them."""
        commands: list[Addressed] = []
        seen, stamps = self.names.seen, self.names.stamps
        for key, data in zip(keys, entries, strict=True):
            tags = tags_of(data) if data and stamps else []
            area = (2, seen, stamps) if stamps else (1, seen)
            commands.append((seen, ("EVALSHA", STAMPS, *area, digest_of(key), os.urandom(8).hex(), *tags)))
        look = self._look() if self.topology.clustered else []
        answer = self.ask([*look, *commands, *(self._asks_views() if views else [])])
        heads = answer.replies[len(look) :]
        beside = _views_of(heads[len(keys) :])
        pairs = zip(heads[: len(keys)], entries, strict=True)
        readings = [self._reading(_words(head), data, answer.run_id, beside) for head, data in pairs]
        return self._heard(answer.replies[: len(look)], readings) or self.judgeable(keys, entries, views)

    def _look(self) -> list[Addressed]:
        """What to ask once a second, with a read, of those who tell of changes."""
        if self.unheard is None or time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + _LOOK_SECONDS
        return [(self.names.heard, ("HGETALL", self.names.heard))]

    def _heard(self, looked: Sequence[Any], readings: list[Reading]) -> list[Reading] | None:
        """The readings, or `None` where stamps were written after them, since a listener is not heard.

        Raises:
            StoreUnavailable: it is not heard, and what it would tell of could not be stamped.
        """
        fields = looked[0] if looked and isinstance(looked[0], list) else []
        if not fields or self.unheard is None:
            return readings
        until = dict(zip(fields[::2], fields[1::2], strict=True))
        try:
            return None if self.unheard(until, readings[0].time_us) else readings
        except StoreUnavailable:
            self._look_at = 0.0  # until it is stamped, no read trusts what it has read
            raise

    def _reads(self, key: bytes) -> list[Addressed]:
        return [(key, ("EVALSHA", READ, *self._judging(key))), (key, ("GET", key))]

    def _judging(self, key: bytes) -> Command:
        """What the scripts take that judge an entry."""
        seen, stamps = self.names.seen, self.names.stamps
        names = (3, key, seen, stamps) if stamps else (2, key, seen)
        return (*names, digest_of(key))

    def _asks_views(self) -> list[Addressed]:
        stamps = self.names.stamps
        return [(self.names.seen, ("HGET", stamps, VIEWS))] if stamps else []

    def _readings(
        self, keys: Sequence[bytes], replies: Sequence[Any], run_id: str, views: int | None = None
    ) -> list[Reading]:
        heads = replies[::2]
        pairs = zip(heads, replies[1::2], strict=True)
        readings = [self._reading(_words(head), data, run_id, views) for head, data in pairs]
        # What is judged anew is of a later time than the views.
        again = [place for place, reading in enumerate(readings) if self._is_doubtful(heads[place], reading)]
        if again:
            judged = self.judgeable([keys[place] for place in again], [readings[place].data for place in again])
            for place, reading in zip(again, judged, strict=True):
                readings[place] = reading
        return readings

    def _is_doubtful(self, head: bytes, reading: Reading) -> bool:
        """Whether no era had begun yet, or the entry was replaced between the two halves of its reading."""
        if not self.names.stamps:
            return False
        return not reading.run_id or not (reading.data is None or head.startswith(reading.data[_ID]))

    def _read_in_two(self, keys: Sequence[bytes]) -> list[Reading]:
        replies = self.ask([(key, ("GET", key)) for key in keys]).replies
        return self.judgeable(keys, [entry_of(reply) for reply in replies])

    def _reading(self, words: Sequence[bytes], data: Any, run_id: str, views: int | None = None) -> Reading:
        time_us = int(words[0]) * 1_000_000 + int(words[1])
        deadline = None if words[2] == _NONE else int(max(0.0, min(float(words[2]), _FOR_EVER)))
        last_stamp = 0
        if self.names.stamps:
            last_stamp = _stamp(words[4]) or 0
            run_id = self._run(run_id, words[3]) if 0 < last_stamp < _FOR_EVER else ""
        self._skew_us, self._run_id = time_us - time.time_ns() // 1000, run_id
        self.server_clock.hear(time_us)
        return Reading(entry_of(data), time_us, tuple(map(_stamp, words[5:])), deadline, run_id, last_stamp, views)

    def _run(self, run_id: str, era: bytes) -> str:
        """A server's run and the era of its stamps, as one text; nearly always that of the read before."""
        known = self._last_run
        if known[:2] != (run_id, era):
            known = self._last_run = (run_id, era, f"{run_id} {era.decode(errors='replace')}")
        return known[2]

    def _remember(self, keys: Sequence[bytes], ttl_ms: int) -> list[Addressed]:
        if not self._key_memory:
            return []
        seen = self.names.seen
        deadline = self.now_us() // 1000 + ttl_ms if ttl_ms else _FOR_EVER
        scores = [part for key in keys for part in (deadline, digest_of(key))]
        return [(seen, ("ZADD", seen, *scores)), (seen, ("ZREMRANGEBYRANK", seen, 0, -self._key_memory - 1))]


def digest_of(key: bytes) -> bytes:
    """16 bytes that stand for a key in the memory of keys."""
    return blake2b(key, digest_size=16).digest()


def entry_of(reply: Any) -> bytes | None:
    """An entry's bytes; a key that holds something else holds no entry."""
    return reply if isinstance(reply, bytes) else None


def whole(reply: Any) -> Any:
    """The reply itself; a refused command's reply is raised as `StoreUnavailable`."""
    if isinstance(reply, ResponseError):
        warn("refused", "Redis refused a command (%s); see that nothing else writes under our prefixes", reply)
        raise StoreUnavailable(f"Redis refused a command ({reply})")
    return reply


def _words(head: Any) -> list[bytes]:
    """The words of a script of `lua/` after the entry's id."""
    return bytes(whole(head))[16:].split(b" ")


def _views_of(replies: Sequence[Any]) -> int | None:
    """The stamp in the reply to `_asks_views`, 0 where there is none yet; `None` where it cannot be known."""
    if not replies or isinstance(replies[0], ResponseError):
        return None
    return _stamp(replies[0] or b"0")


def _stamp(word: bytes) -> int | None:
    """A stamp; one that is none counts as later than any entry, and so makes every entry stale."""
    if word == _NONE:
        return None
    return int(word) if len(word) == _DIGITS and word.isdigit() else _FOR_EVER
