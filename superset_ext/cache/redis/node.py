"""One Redis server as a region sees it, and **the** Redis edge: what is raised here is `StoreUnavailable`
and nothing else, with the fix in its message.

A server that is full is not away: it still answers reads, so its refusals are handed back as answers
and leave the circuit alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis import exceptions as redis_errors

from superset_ext.cache.redis.circuit import Circuit
from superset_ext.cache.redis.connection import NEVER, AnyConnection, Pool, PoolExhausted, parse_info
from superset_ext.errors import StoreUnavailable

Command = tuple[Any, ...]
_LUA = Path(__file__).parent / "lua"
_SUBSCRIBE_SECONDS = 5.0
_INFO_EVERY = 5.0  # seconds; a full server is noticed this late at worst
# What an answer may say that concerns the server as a whole, not the one command.
_FATAL = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.NoPermissionError,
    redis_errors.ReadOnlyError,
)
_FIXES: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.BusyLoadingError, "wait until it has loaded its data"),
    (redis_errors.AuthenticationError, "check the user and the password in its URL"),
    (redis_errors.NoPermissionError, "allow its user these commands"),
    (redis_errors.ReadOnlyError, "let its URL name the primary"),
    (redis_errors.TimeoutError, "check its load, and the timeouts SUPERSET_EXT_*_TIMEOUT_MS"),
    (TimeoutError, "check its load, and the timeouts SUPERSET_EXT_*_TIMEOUT_MS"),
    (PoolExhausted, "raise the region's POOL_SIZE"),
)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script of `lua/`, by name."""

    source: str
    sha: str


@lru_cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`."""
    source = (_LUA / f"{name}.lua").read_text()
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


_sources: dict[str, str] = {}


def run(name: str, keys: Sequence[bytes], *args: Any) -> Command:
    """The command that runs a script by its hash."""
    found = script(name)
    _sources[found.sha] = found.source
    return ("EVALSHA", found.sha, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself.

    Attributes:
        used_memory: bytes.
        maxmemory: bytes, 0 where it has no limit.
        policy: its `maxmemory-policy`.
        evicted_keys: keys evicted since the server started.
        resident_memory: bytes that the system gave it.
        clients: connections of clients.
        expiring: keys that have a timeout, by the number of their database.
    """

    used_memory: int
    maxmemory: int
    policy: str
    evicted_keys: int
    resident_memory: int = 0
    clients: int = 0
    expiring: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, info: Mapping[str, str]) -> ServerInfo:
        """From the fields of an `INFO` answer, or of its section on memory."""
        names = ("used_memory", "maxmemory", "evicted_keys", "used_memory_rss", "connected_clients")
        used, most, evicted, resident, clients = (int(info.get(name, 0)) for name in names)
        return cls(used, most, info.get("maxmemory_policy", ""), evicted, resident, clients, _expiring(info))

    @classmethod
    def together(cls, infos: Sequence[ServerInfo]) -> ServerInfo:
        """The nodes of a cluster as one server, with the policy of the first."""
        numbers = {number for info in infos for number in info.expiring}
        return cls(
            sum(info.used_memory for info in infos),
            sum(info.maxmemory for info in infos),
            infos[0].policy,
            sum(info.evicted_keys for info in infos),
            sum(info.resident_memory for info in infos),
            sum(info.clients for info in infos),
            {number: sum(info.expiring.get(number, 0) for info in infos) for number in numbers},
        )

    @property
    def fragmentation(self) -> float | None:
        """What the system gave it, over what it uses."""
        return self.resident_memory / self.used_memory if self.resident_memory and self.used_memory else None

    def refuses(self, share: float) -> bool:
        """Whether it is filled above `share` and would refuse writes rather than evict."""
        return self.policy == "noeviction" and 0 < self.maxmemory * share < self.used_memory


def _expiring(info: Mapping[str, str]) -> dict[int, int]:
    """As in `db3:keys=12,expires=10,avg_ttl=0`."""
    found = {}
    for name, said in info.items():
        if name.startswith("db") and name[2:].isdigit():
            counts = dict(part.split("=", 1) for part in said.split(",") if "=" in part)
            found[int(name[2:])] = int(counts.get("expires", 0))
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        replies: one for each command; of a refused one its error.
        run_id: of the server, a new one after each of its starts.
    """

    replies: list[Any]
    run_id: str


class Node:
    """A pool of connections to one server, behind its circuit."""

    def __init__(self, make: Callable[[], AnyConnection], size: int, circuit: Circuit, retry: bool) -> None:
        self.circuit = circuit
        self.info: ServerInfo | None = None
        self._make = make
        self._pool = Pool(make, size)
        self._retry = retry
        self._info_at = 0.0

    def ask(self, commands: Sequence[Command], deadline: float, weigh: bool = False) -> Answer:
        """Send commands in one round trip; `deadline` is in `time.monotonic()` seconds.

        With `weigh`, as writes do, the question after the server's memory travels along every few seconds.

        Raises:
            StoreUnavailable: the server did not answer in time, refused, or is left alone.
        """
        self.circuit.check()
        weighing = weigh and time.monotonic() - self._info_at >= _INFO_EVERY
        try:
            answer = self._tried([*commands, ("INFO", "memory")] if weighing else list(commands), deadline)
            if weighing:
                self._learn(parse_info(answer.replies.pop()))
        except PoolExhausted as error:  # says nothing about the server
            raise self._unavailable(error) from error
        except (redis_errors.RedisError, OSError) as error:
            raise self._failed(error) from error
        self.circuit.succeeded()
        return answer

    def _tried(self, commands: list[Command], deadline: float) -> Answer:
        try:
            return self._once(commands, deadline)
        except redis_errors.TimeoutError:
            if not self._retry or time.monotonic() >= deadline:
                raise
            return self._once(commands, deadline)

    def _once(self, commands: list[Command], deadline: float) -> Answer:
        with self._pool.connection(deadline) as connection:
            self.circuit.check()  # it may have opened while this one waited
            replies = connection.ask(commands)
            if any(isinstance(reply, redis_errors.NoScriptError) for reply in replies):
                replies = connection.ask([*_loads(commands), *commands])[-len(commands) :]
            for reply in replies:
                if isinstance(reply, _FATAL):
                    raise reply
            if self.info is None:
                self._learn(connection.info)
            return Answer(replies, connection.info["run_id"])

    def _failed(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, redis_errors.ReadOnlyError):
            self._pool.leave()  # connected to what is a replica by now
        self.info = None
        unavailable = self._unavailable(error)
        self.circuit.failed(unavailable, self.probe)
        return unavailable

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        fix = next((fix for kind, fix in _FIXES if isinstance(error, kind)), "check that it runs and can be reached")
        return StoreUnavailable(f"{self.circuit.endpoint} failed ({str(error).rstrip('.')}); {fix}")

    def probe(self) -> None:
        """Connect anew and look whether the server answers.

        Raises:
            StoreUnavailable: it does not.
        """
        try:
            connection = self._make()
            try:
                connection.open(NEVER)
                self._learn(connection.info)
            finally:
                connection.shut()
        except (redis_errors.RedisError, OSError) as error:
            raise self._unavailable(error) from error

    def subscribed(self, channel: bytes, silence: float) -> AnyConnection:
        """A connection outside the pool that listens to a channel; a read of it waits for `silence` seconds.

        Raises:
            StoreUnavailable: the server is left alone.
            RedisError, OSError: it did not answer.
        """
        self.circuit.check()
        connection = self._make()
        try:
            connection.open(time.monotonic() + _SUBSCRIBE_SECONDS)
            connection.ask([("SUBSCRIBE", channel)])
        except BaseException:
            connection.shut()
            raise
        connection.listens(silence)
        return connection

    def measured(self, deadline: float) -> ServerInfo:
        """The server's memory, asked now.

        Raises:
            StoreUnavailable: see `ask`.
        """
        info = ServerInfo.of(parse_info(self.ask([("INFO",)], deadline).replies[0]))
        self.info = info
        return info

    def _learn(self, info: dict[str, str]) -> None:
        self.info = ServerInfo.of(info)
        self._info_at = time.monotonic()


def _loads(commands: Sequence[Command]) -> list[Command]:
    """The commands that give a server the scripts it has never seen, or forgot when it started anew."""
    return [("SCRIPT", "LOAD", _sources[sha]) for sha in {c[1] for c in commands if c[0] == "EVALSHA"}]
