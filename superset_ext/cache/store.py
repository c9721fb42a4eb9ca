"""What a region does with Redis, in as few round trips as it can be done in.

A read is one: a script that turns the entry's tags into stamps and says the time, and a plain GET of
the bytes, sent together and matched by the entry's id. In a cluster it is two: the entry from its
own slot, then clock, stamps and memory from the one slot that holds them all.

**Memory of keys.** Beside the entries a sorted set remembers, for the `key_memory` keys whose
deadlines are latest, when each was to expire. An entry that is gone before its deadline was evicted,
one after it expired, and one that nobody remembers is cold. How sure that is: a key that was
forgotten because more than `key_memory` came after it counts as cold; one that somebody else deleted
without our `delete` counts as evicted; deadlines follow the server's clock to within a round trip.
"""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from superset_ext.cache.envelope import MAX_BLOCK, TAGS_AT, times
from superset_ext.cache.lease import Busy, Lease
from superset_ext.cache.redis.connection import AnyConnection
from superset_ext.cache.redis.node import Answer, Command, Node, ServerInfo, run
from superset_ext.cache.redis.topology import Addressed, Topology
from superset_ext.cache.stamps import Stamp, area, fresh, stamp_prefix, tags_of
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable

_FOR_EVER = 2**53 - 1  # the deadline, in ms, of what has none: the largest integer that a score holds exactly
_DIGITS = 18  # more make no time in microseconds, and thousands no number that Python reads
_KEEP = -1
_DAY_MS = 86_400_000
_ID = slice(8, 24)
_NONE = b"-"
_NO_KEY, _NO_END = -2, -1  # answers of lua/left.lua
_NOTHING = b"\0"  # with which no key begins
_BATCH = 1000  # keys a step of `clear`, `erase` and `left_ms`


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server knows of one key.

    Attributes:
        data: the entry's bytes, `None` where there are none.
        time_us: the server's time before the bytes were read, in microseconds.
        stamps: of the entry's tags in their order, `None` for a tag without one.
        deadline_ms: when the absent entry was to expire, in ms of the server's time; `None` if not remembered.
        run_id: of the server that holds the stamps.
    """

    data: bytes | None
    time_us: int
    stamps: tuple[Stamp, ...]
    deadline_ms: int | None
    run_id: str


class Store:
    """The keys of one region.

    Args:
        topology: where they are.
        prefix: what each begins with.
        stamped: whether entries have tags.
        key_memory: keys to remember after they are gone.
        total: seconds that an operation may take.
    """

    def __init__(self, topology: Topology, prefix: str, stamped: bool, key_memory: int, total: float) -> None:
        self._topology = topology
        self._prefix = prefix
        self._seen = f"{area(prefix, topology.clustered)}seen".encode()
        self._stamps = stamp_prefix(prefix, topology.clustered).encode() if stamped else b""
        self._leases = f"{area(prefix, topology.clustered)}l:".encode()
        self._reads_of = f"{area(prefix, topology.clustered)}u:".encode()
        self._channel = f"{area(prefix, topology.clustered)}done".encode()
        self._key_memory = key_memory
        self._total = total
        self._skew_us = 0
        self._run_id = ""

    def name(self, key: str) -> str:
        """The Redis key of a cache key; `~` after the prefix is kept for our own."""
        return f"{self._prefix}{'~~' if key.startswith('~') else ''}{key}"

    def now_us(self) -> int:
        """The server's time in microseconds, as far as it is known without asking."""
        return time.time_ns() // 1000 + self._skew_us

    def last_run_id(self) -> str:
        """The run id of the server that holds the stamps, as last heard; asked if it never was.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        return self._run_id or self.clock().run_id

    def clock(self) -> Reading:
        """The server's time and run id, and nothing else.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        answer = self._ask([(self._seen, ("TIME",))])
        return self._reading([*_whole(answer.replies[0]), _NONE], None, answer.run_id)

    def read(self, *names: str) -> list[Reading]:
        """All that is known of some keys.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        keys = [name.encode() for name in names]
        return self._read_two_hops(keys) if self._topology.clustered else self._read_one_hop(keys)

    def write(self, entries: Mapping[str, bytes], ttl_ms: int) -> list[bool]:
        """Store entries for `ttl_ms`, 0 for ever; of each, whether the server had room for it.

        Where it had none, the old entry is deleted: whoever stored a newer one must not see it again.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        keys = {name.encode(): data for name, data in entries.items()}
        expiry: Command = ("PX", ttl_ms) if ttl_ms else ()
        sets = [(key, ("SET", key, data, *expiry)) for key, data in keys.items()]
        replies = self._ask([*sets, *self._remember(list(keys), ttl_ms)], weigh=True).replies[: len(keys)]
        stored = [not isinstance(reply, OutOfMemoryError) for reply in replies]
        if not all(stored):
            self.delete(*(name for name, kept in zip(entries, stored, strict=True) if not kept))
        for reply, kept in zip(replies, stored, strict=True):
            if kept:
                _whole(reply)
        return stored

    def fill(self, entries: Mapping[str, bytes], ttl_ms: int) -> list[bool | None]:
        """Store entries as `write` does, but none over one whose read began later; of each `None` where one is there.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        keys = {name.encode(): data for name, data in entries.items()}
        fills = [(key, run("fill", [key], data, ttl_ms)) for key, data in keys.items()]
        replies = self._ask([*fills, *self._remember(list(keys), ttl_ms)], weigh=True).replies[: len(keys)]
        full = [isinstance(reply, OutOfMemoryError) for reply in replies]
        if any(full):
            self.delete(*(name for name, refused in zip(entries, full, strict=True) if refused))
        return [
            False if refused else True if _whole(reply) else None for reply, refused in zip(replies, full, strict=True)
        ]

    def stamp(self, tags: Collection[str]) -> int:
        """Stamp tags, and the server's time, in microseconds, that they now have.

        Raises:
            StoreUnavailable: see `Node.ask`; some tags may be stamped.
        """
        ordered, time_us = sorted(tags), 0
        for start in range(0, len(ordered), _BATCH):
            keys = [self._stamps + tag.encode() for tag in ordered[start : start + _BATCH]]
            (reply,) = self._ask([(keys[0], run("stamp", keys))]).replies
            seconds, micros = _whole(reply)
            time_us = int(seconds) * 1_000_000 + int(micros)
        return time_us

    def lease(self, lease: Lease, seconds: float, since_us: int) -> tuple[Busy | None, Reading]:
        """Ask for a lease, and then for what is known of its entry, in one round trip, of a cluster in three.

        Args:
            seconds: how long it is to last.
            since_us: somebody else's lease is respected if their read began then or later.

        Returns:
            `None` if it is the caller's now, and the reading.

        Raises:
            StoreUnavailable: see `Node.ask`; it may be taken all the same, and then ends by itself.
        """
        key = self._leases + lease.name.encode()
        asked = run("lease", [key], lease.token, lease.as_of_us, int(seconds * 1000), since_us)
        if self._topology.clustered:
            reply = self._ask([(key, asked)]).replies[0]
            (reading,) = self.read(lease.name)
        else:
            reply, reading = self._read_after((key, asked), lease.name.encode())
        said = _whole(reply)
        return (None if said[0] else Busy(int(said[1]), max(0, int(said[2])) / 1000)), reading

    def renew(self, leases: Sequence[tuple[str, str]], ms: int) -> None:
        """Make leases, of names and tokens, last for `ms` from now on.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        keys = [(self._leases + name.encode(), token) for name, token in leases]
        if keys:
            self._ask([(key, run("renew", [key], token, ms)) for key, token in keys])

    def release(self, name: str, token: str, message: bytes) -> None:
        """Give back a lease, and tell `message` to those who listen.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        key = self._leases + name.encode()
        self._ask([(key, run("release", [key], token, self._channel, message))])

    def subscribed(self, silence: float) -> AnyConnection:
        """A connection of its own that hears what `release` tells; a read waits for `silence` seconds.

        Raises:
            StoreUnavailable, RedisError, OSError: it cannot be had.
        """
        return self._topology.node(self._channel, self._deadline()).subscribed(self._channel, silence)

    def used(self, name: str, entry_id: bytes, needed: int, left_ms: int) -> None:
        """Count a read of an entry; the one that makes it `needed` lets it live for `left_ms`, 0 for ever.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        counter, key = self._reads_of + entry_id.hex().encode(), name.encode()
        told = self._ask([(counter, ("INCR", counter)), (counter, ("PEXPIRE", counter, left_ms or _DAY_MS, "NX"))])
        if _whole(told.replies[0]) == needed:
            self._ask([(key, ("PEXPIRE", key, left_ms) if left_ms else ("PERSIST", key))])

    def swap(self, name: str, seen: bytes | None, data: bytes, ttl_ms: int | None) -> bool:
        """Store an entry if the one there is still `seen`; `ttl_ms` `None` keeps the old one's timeout.

        Raises:
            StoreUnavailable: see `Node.ask`, or the server is full.
        """
        key = name.encode()
        left = _KEEP if ttl_ms is None else ttl_ms
        swapped = self._ask([(key, run("swap", [key], (seen or b"")[_ID], data, left))], weigh=True).replies[0]
        if _whole(swapped) and ttl_ms is not None and self._key_memory:
            self._ask(self._remember([key], ttl_ms))
        return bool(swapped)

    def delete(self, *names: str) -> list[bool]:
        """Delete keys; of each, whether it was there.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        if not names:
            return []
        keys = [name.encode() for name in names]
        commands: list[Addressed] = [(key, ("UNLINK", key)) for key in keys]
        commands.append((self._seen, ("ZREM", self._seen, *map(_digest, keys))))
        return [bool(_whole(reply)) for reply in self._ask(commands, weigh=True).replies[:-1]]

    def left_ms(self, names: Sequence[str]) -> list[float | None]:
        """Milliseconds that each entry is still fresh, `None` where there is none, or one that is out of date.

        In steps, each with its own budget.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        left: list[int] = []
        for start in range(0, len(names), _BATCH):
            left += self._left([name.encode() for name in names[start : start + _BATCH]])
        return [None if ms == _NO_KEY else math.inf if ms == _NO_END else ms for ms in left]

    def _left(self, keys: Sequence[bytes]) -> Sequence[int]:
        if self._topology.clustered:  # where the keys of a script must be of one slot
            heads = self._ask([(key, ("GETRANGE", key, 0, TAGS_AT + MAX_BLOCK)) for key in keys]).replies
            return [_fresh_ms(each) for each in self._judgeable(keys, [_bytes(head) for head in heads])]
        (reply,) = self._ask([(keys[0], run("left", keys, self._stamps))]).replies
        return struct.unpack(f"<{len(keys)}q", _whole(reply))

    def clear(self) -> int:
        """Delete every entry of this region, and how many those were. Stamps stay: queries under way need them.

        Each step has the budget of an operation, since a region may hold millions of keys.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        gone = self._unlinked(self._prefix, "*", self._stamps or _NOTHING)
        self._ask([(self._seen, ("UNLINK", self._seen))])
        return gone

    def erase(self) -> int:
        """Delete all that this region has ever written, stamps and memory too, and how many keys those were.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        own = area(self._prefix, self._topology.clustered)
        starts = {self._prefix, own} if self._topology.clustered else {self._prefix}
        return sum(self._unlinked(start, "*", _NOTHING) for start in starts)

    def delete_like(self, pattern: str) -> int:
        """Delete the entries whose cache keys match a pattern with `*` and `?`, and how many those were.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        own = area(self._prefix, self._topology.clustered).encode()
        return self._unlinked(self._prefix, re.sub(r"([\[\]^\\-])", r"\\\1", pattern), own)

    def _unlinked(self, start: str, pattern: str, kept: bytes) -> int:
        """Delete what begins with `start` and goes on as a pattern says, without what begins with `kept`."""
        gone = 0
        for node in self._topology.primaries(self._deadline()):
            for keys in self._scan(node, start, pattern, kept):
                replies = node.ask([("UNLINK", key) for key in keys], self._deadline()).replies
                gone += sum(bool(_whole(reply)) for reply in replies)
        return gone

    def filled(self, name: str, share: float) -> bool:
        """Whether the server of this key is above `share` of its memory and evicts nothing, as last heard.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        info = self._topology.node(name.encode(), self._deadline()).info
        return info is not None and info.refuses(share)

    def server_info(self) -> ServerInfo:
        """The memory of the server, of a cluster's nodes together.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        deadline = self._deadline()
        return ServerInfo.together([node.measured(deadline) for node in self._topology.primaries(deadline)])

    def remembered(self) -> int:
        """Keys in the memory of keys whose deadline is still to come: entries, and what was evicted of them.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        now_ms = self.now_us() // 1000
        return int(_whole(self._ask([(self._seen, ("ZCOUNT", self._seen, now_ms, "+inf"))]).replies[0]))

    def _deadline(self) -> float:
        return time.monotonic() + self._total

    def _ask(self, commands: Sequence[Addressed], weigh: bool = False) -> Answer:
        return self._topology.ask(commands, self._deadline(), weigh)

    def _read_one_hop(self, keys: Sequence[bytes]) -> list[Reading]:
        answer = self._ask([command for key in keys for command in self._reads(key)])
        return self._readings(keys, answer.replies, answer.run_id)

    def _read_after(self, first: Addressed, key: bytes) -> tuple[Any, Reading]:
        """The reply to a command, and a reading that is younger."""
        answer = self._ask([first, *self._reads(key)])
        return answer.replies[0], self._readings([key], answer.replies[1:], answer.run_id)[0]

    def _reads(self, key: bytes) -> list[Addressed]:
        head = run("read", [key, self._seen], self._stamps, _digest(key))
        return [(key, head), (key, ("GET", key))]

    def _readings(self, keys: Sequence[bytes], replies: Sequence[Any], run_id: str) -> list[Reading]:
        pairs = zip(replies[::2], replies[1::2], strict=True)
        found = [self._reading(_words(head), data, run_id) for head, data in pairs]
        return [self._matched(*each) for each in zip(keys, replies[::2], found, strict=True)]

    def _matched(self, key: bytes, head: bytes, reading: Reading) -> Reading:
        """The reading as it is, or, where the entry was replaced between its two halves, judged anew."""
        if reading.data is None or not self._stamps or head.startswith(reading.data[_ID]):
            return reading
        return self._judgeable([key], [reading.data])[0]

    def _read_two_hops(self, keys: Sequence[bytes]) -> list[Reading]:
        replies = self._ask([(key, ("GET", key)) for key in keys]).replies
        return self._judgeable(keys, [_bytes(reply) for reply in replies])

    def _judgeable(self, keys: Sequence[bytes], entries: Sequence[bytes | None]) -> list[Reading]:
        """Readings of entries whose bytes are known; what they are judged by is read after them."""
        commands: list[Addressed] = []
        for key, data in zip(keys, entries, strict=True):
            tags = tags_of(data) if data and self._stamps else []
            stamps = [self._stamps + tag for tag in tags]
            commands.append((self._seen, run("stamps", [self._seen, *stamps], _digest(key))))
        answer = self._ask(commands)
        pairs = zip(answer.replies, entries, strict=True)
        return [self._reading(_words(head), data, answer.run_id) for head, data in pairs]

    def _reading(self, words: Sequence[bytes], data: Any, run_id: str) -> Reading:
        time_us = int(words[0]) * 1_000_000 + int(words[1])
        self._skew_us, self._run_id = time_us - time.time_ns() // 1000, run_id
        deadline = None if words[2] == _NONE else int(max(0.0, min(float(words[2]), _FOR_EVER)))
        return Reading(_bytes(data), time_us, tuple(map(_stamp, words[3:])), deadline, run_id)

    def _remember(self, keys: Sequence[bytes], ttl_ms: int) -> list[Addressed]:
        if not self._key_memory:
            return []
        deadline = self.now_us() // 1000 + ttl_ms if ttl_ms else _FOR_EVER
        scores = [part for key in keys for part in (deadline, _digest(key))]
        return [
            (self._seen, ("ZADD", self._seen, *scores)),
            (self._seen, ("ZREMRANGEBYRANK", self._seen, 0, -self._key_memory - 1)),
        ]

    def _scan(self, node: Node, start: str, pattern: str, kept: bytes) -> Iterator[list[bytes]]:
        """Keys that begin with `start` and go on as a pattern says, without those that begin with `kept`."""
        pattern = re.sub(r"([\[\]*?^\\-])", r"\\\1", start) + pattern
        cursor: Any = 0
        while True:
            reply = node.ask([("SCAN", cursor, "MATCH", pattern, "COUNT", _BATCH)], self._deadline()).replies[0]
            cursor, keys = _whole(reply)
            if keys := [key for key in keys if not key.startswith(kept)]:
                yield keys
            if int(cursor) == 0:
                return


def _fresh_ms(reading: Reading) -> int:
    """What `lua/left.lua` says of an entry, of a reading of its first bytes."""
    as_of_us, until_us = times(reading.data or b"")
    if not reading.data or not fresh(as_of_us, reading.stamps) or 0 < until_us <= reading.time_us:
        return _NO_KEY
    return (until_us - reading.time_us) // 1000 if until_us else _NO_END


def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=16).digest()


def _bytes(reply: Any) -> bytes | None:
    """An entry's bytes; a key that holds something else holds no entry."""
    return reply if isinstance(reply, bytes) else None


def _words(head: Any) -> list[bytes]:
    """What a script of `lua/` says after the entry's id.

    Raises:
        StoreUnavailable: it was refused.
    """
    return bytes(_whole(head))[16:].split(b" ")


def _stamp(word: bytes) -> Stamp:
    """A stamp's time; one that is no time is of a time unknown, and so makes every entry stale."""
    if word == _NONE:
        return None
    return int(word) if word.isdigit() and len(word) < _DIGITS else _FOR_EVER


def _whole(reply: Any) -> Any:
    """The reply, if it is none of a refused command.

    Raises:
        StoreUnavailable: the command was refused.
    """
    if isinstance(reply, ResponseError):
        warn("refused", "Redis refused a command (%s); see that nothing else writes under our prefixes", reply)
        raise StoreUnavailable(f"Redis refused a command ({reply})")
    return reply
