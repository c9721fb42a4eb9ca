"""One Redis server as a region sees it, and **the** Redis edge: what is raised here is `StoreUnavailable`
and nothing else, with the fix in its message.

A server that is full is not away: it still answers reads, so its refusals are handed back as answers
and leave the circuit alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions as redis_errors

from superset_ext.cache.redis.circuit import Circuit, State
from superset_ext.cache.redis.connection import NEVER, AnyConnection, Pool, PoolExhausted
from superset_ext.cache.redis.scripts import source
from superset_ext.cache.redis.server_info import ServerInfo, parse_info
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable

Command = tuple[Any, ...]
Addressed = tuple[bytes, Command]  # a command, and the key whose server it goes to
_SUBSCRIBE_SECONDS = 5.0
_STOOD_STILL = 0.1  # seconds by which a deadline is passed that no wait can pass, and that are then given once more
_INFO_EVERY = 5.0  # seconds; a full server is noticed this late at worst
# Refusals that concern the server as a whole, not the one command.
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

_NO_SUCH_DATABASE = "DB index is out of range"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        replies: one for each command; for a refused one its error.
        run_id: of the server, a new one after each of its starts.
    """

    replies: list[Any]
    run_id: str


class Node:
    """A pool of connections to one server, behind its circuit. It is the `Topology` of one server too.

    Attributes:
        circuit: that of the server, shared by all regions.
        info: what the server last said of its memory; `None` since it failed.
    """

    clustered = False

    def __init__(self, make: Callable[[], AnyConnection], size: int, circuit: Circuit, retry: bool) -> None:
        self.circuit = circuit
        self.info: ServerInfo | None = None
        self._make = make
        self._pool = Pool(make, size)
        self._retry = retry
        self._info_at = 0.0

    def node(self, _key: bytes, _deadline: float) -> Node:
        """This server, which holds every key."""
        return self

    def primaries(self, _deadline: float) -> Sequence[Node]:
        """This server."""
        return [self]

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """Send commands in one round trip; `deadline` is in `time.monotonic()` seconds.

        With `weigh`, as writes do, a question about the server's memory travels along every few seconds.

        Raises:
            StoreUnavailable: the server did not answer in time, refused, or is left alone.
        """
        if self.circuit.state is State.OPEN:
            self.circuit.check()
        sent = [command for _, command in commands]
        weighing = weigh and time.monotonic() - self._info_at >= _INFO_EVERY
        if weighing:
            sent.append(("INFO", "memory"))
        try:
            answer = self._tried(sent, deadline)
            if weighing:
                self._learn(parse_info(answer.replies.pop()))
        except PoolExhausted as error:  # says nothing about the server
            raise self._unavailable(error) from error
        except (redis_errors.RedisError, OSError) as error:
            raise self._failed(error) from error
        if self.circuit.doubtful:
            self.circuit.succeeded()
        return answer

    def _tried(self, commands: list[Command], deadline: float) -> Answer:
        try:
            return self._once(commands, deadline)
        except redis_errors.TimeoutError:
            late = time.monotonic() - deadline
            if late > _STOOD_STILL:  # longer than any wait: this process did not run, which says nothing of the server
                return self._once(commands, time.monotonic() + _STOOD_STILL)
            if not self._retry or late >= 0:
                raise
            return self._once(commands, deadline)

    def _once(self, commands: list[Command], deadline: float) -> Answer:
        with self._pool.connection(deadline) as connection:
            if self.circuit.state is State.OPEN:  # since this one waited
                self.circuit.check()
            replies = connection.ask(commands)
            for reply in replies:
                if isinstance(reply, redis_errors.NoScriptError):
                    loaded = connection.ask([*_loads(commands), *commands])
                    replies = loaded[-len(commands) :]
                    for refusal in loaded[: -len(commands)]:
                        self._name_refused(refusal)
                    break
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
        self._name_refused(error)
        self.circuit.failed(unavailable, self.probe)
        return unavailable

    def _name_refused(self, reply: Any) -> None:
        """Name what an ACL refuses: while other commands are answered, the circuit stays shut and says nothing."""
        if isinstance(reply, redis_errors.NoPermissionError):
            warn(f"acl {reply}", "%s", self._unavailable(reply))

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        fix = next((fix for kind, fix in _FIXES if isinstance(error, kind)), "check that it runs and can be reached")
        if _NO_SUCH_DATABASE in str(error):
            fix = (
                "give all regions one that it has, by its number in the URL: SUPERSET_EXT_REDIS_URL=redis://host:6379/0"
            )
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
        if self.circuit.state is State.OPEN:
            self.circuit.check()
        connection = self._make()
        try:
            connection.open(time.monotonic() + _SUBSCRIBE_SECONDS)
            self._name_refused(connection.ask([("SUBSCRIBE", channel)])[0])
        except BaseException:
            connection.shut()
            raise
        connection.listens(silence)
        return connection

    def measured(self, deadline: float) -> ServerInfo:
        """The server's memory, asked now.

        Raises:
            StoreUnavailable: as for `ask`.
        """
        info = ServerInfo.of(parse_info(self.ask([(b"", ("INFO",))], deadline).replies[0]))
        self.info = info
        return info

    def _learn(self, info: dict[str, str]) -> None:
        self.info = ServerInfo.of(info)
        self._info_at = time.monotonic()


def _loads(commands: Sequence[Command]) -> list[Command]:
    """The commands that give a server the scripts it has never seen, or forgot when it started anew."""
    hashes = {command[1] for command in commands if command[0] == "EVALSHA"}
    return [("SCRIPT", "LOAD", source(sha)) for sha in hashes]
