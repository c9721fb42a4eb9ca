"""Connections that end in time, and a pool of them that is bounded and survives a fork.

redis-py gives a socket one timeout for each read, and its pools wait for as long as they were told
when they were made, so that one operation could take any multiple of both. Here each operation has
a deadline that its wait for a connection, its connect and every read and write share.

Only waiting counts. A process may stand still for seconds: a driver in C holds up all greenlets of a gevent worker, a
machine is paused. A deadline that passed meanwhile says nothing of the server, whose answer may lie there: it is
looked for once more, without waiting, and the time is made up for.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.connection import Connection, SSLConnection
from redis.exceptions import ReadOnlyError, RedisError

from superset_ext.cache.redis.server_info import parse_info
from superset_ext.core.fork_reset import reset_on_fork

_Received = TypeVar("_Received")
NEVER = float("inf")
_SLEPT = 0.02  # seconds by which a wait lasts longer than it was to: this process did not run
_AT_ONCE = 0.001  # seconds that a look without waiting may last; TLS knows no shorter one
_MADE_UP = 0.05  # seconds that an operation gets whose time was up before it could begin
_COPIED = 4096  # bytes up to which a word is copied rather than sent by itself


class PoolExhausted(RedisError):
    """All connections were in use until the deadline."""


class TimedSocket:
    """A socket whose every wait is at most `silence` seconds, and ends at `deadline` (`time.monotonic()`)."""

    def __init__(self, sock: socket.socket, silence: float, deadline: float) -> None:
        self._sock = sock
        self.silence = silence
        self.deadline = deadline
        self._timeout: float | None = None  # which the socket has now: to set it is a call to the system
        self._ran = time.monotonic()  # when this process is known to have run last
        # eventlet's workers take `poll` away; `select` does not reach descriptors above 1023.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(sock, select.POLLIN)

    def begins(self, deadline: float) -> None:
        """An operation begins now that is to end by `deadline`; where that has passed, it was not by waiting."""
        self._ran = time.monotonic()
        self.deadline = deadline if deadline > self._ran else self._ran + _MADE_UP

    def _arm(self) -> None:
        now = time.monotonic()
        if now - self._ran > _SLEPT:
            self.deadline += now - self._ran
        left = self.deadline - now
        if left <= 0:
            raise TimeoutError("the time for the whole operation is up")
        self._set(min(self.silence, left))
        self._ran = now

    def _set(self, timeout: float) -> None:
        if self._timeout != timeout:
            self._sock.settimeout(timeout)
            self._timeout = timeout

    def _waited(self, receive: Callable[..., _Received], *args: Any) -> _Received:
        """What comes in time, or has come while this process did not run."""
        self._arm()
        try:
            received = receive(*args)
        except TimeoutError:
            if not self._make_up():
                raise
            self._set(_AT_ONCE)
            received = receive(*args)
        self._make_up()
        return received

    def _make_up(self) -> bool:
        """Put the deadline off if the wait lasted longer than any may: this process did not run; whether it did not."""
        now = time.monotonic()
        lasted, self._ran = now - self._ran, now
        slept = lasted > (self._timeout or 0.0) + _SLEPT
        if slept:
            self.deadline += lasted
        return slept

    def recv(self, size: int) -> bytes:
        return self._waited(self._sock.recv, size)

    def recv_into(self, *args: Any) -> int:
        return self._waited(self._sock.recv_into, *args)

    def sendall(self, data: bytes) -> None:
        """Send all; unlike a socket's own `sendall`, the silence counts anew whenever something went out."""
        view = memoryview(data)
        while view:
            view = view[self._waited(self._sock.send, view) :]

    def settimeout(self, timeout: float | None) -> None:
        """Ignored: the parser sets what the connection was made with, and the deadline rules."""

    def readable(self) -> bool:
        """Whether anything waits to be read: of an idle connection, that the server has hung up."""
        return bool(self._poll.poll(0) if self._poll else select.select([self._sock], [], [], 0)[0])

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()


class _Timed:
    """What both kinds of connection add to redis-py's: the timed socket, and what the server says of itself.

    Attributes:
        silence: seconds that a read may last.
        deadline: when the operation that connects must end, in `time.monotonic()` seconds.
        info: the server's own account of itself when the connection was made.
    """

    silence: float
    deadline: float = NEVER
    socket_connect_timeout: Any
    info: dict[str, str]
    _sock: Any

    def _connect(self) -> TimedSocket:
        return TimedSocket(super()._connect(), self.silence, self.deadline)  # type: ignore[misc]

    def on_connect(self) -> None:
        """Log in, and read `INFO` once: the server's run id is needed for each entry, its role before any."""
        super().on_connect()  # type: ignore[misc]
        self.info = parse_info(self.ask([("INFO",)])[0])
        if self.info.get("role") == "slave":
            raise ReadOnlyError("this server is a replica")

    def ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send all commands at once and read all answers; a refused command's answer is its error."""
        self.send_packed_command(packed(commands), check_health=False)  # type: ignore[attr-defined]
        return [self._answer() for _ in commands]

    def _answer(self) -> Any:
        try:
            return self.read_response(disable_decoding=True)  # type: ignore[attr-defined]
        except RedisError as error:
            if self._sock is None:  # not an answer: the connection is gone
                raise
            return error

    def open(self, deadline: float) -> None:
        """Connect and log in before `deadline`.

        Raises:
            RedisError, OSError: the server could not be reached, or refused.
        """
        left = max(0.001, deadline - time.monotonic())
        self.socket_connect_timeout = min(self.socket_connect_timeout, left)
        self.deadline = deadline
        self.connect()  # type: ignore[attr-defined]

    def shut(self) -> None:
        """Hang up."""
        self.disconnect()  # type: ignore[attr-defined]

    def until(self, deadline: float) -> None:
        """Give the next operation its end."""
        if self._sock is not None:
            self._sock.begins(deadline)

    def listens(self, silence: float) -> None:
        """Wait for each read so long, and for ever in all."""
        self.silence = silence
        self._sock.silence, self._sock.deadline = silence, NEVER

    def hears(self, seconds: float) -> bool:
        """Whether a message comes within so many seconds.

        Raises:
            RedisError, OSError: the connection is gone, or its server has been dumb for too long.
        """
        heard: bool = self.can_read(timeout=seconds)  # type: ignore[attr-defined]
        return heard

    def heard(self) -> bytes | None:
        """The message of the channel that came, `None` where it was another answer."""
        reply = self.read_response(disable_decoding=True)  # type: ignore[attr-defined]
        return reply[2] if isinstance(reply, list) and reply[0] == b"message" else None

    @property
    def usable(self) -> bool:
        """Whether an idle connection is still open."""
        return self._sock is not None and not self._sock.readable()


class TimedConnection(_Timed, Connection):
    """A plain connection with deadlines."""


class TimedSSLConnection(_Timed, SSLConnection):
    """A TLS connection with deadlines."""


AnyConnection = TimedConnection | TimedSSLConnection


def packed(commands: Iterable[tuple[Any, ...]]) -> list[bytes]:
    """Commands as RESP, in pieces to be sent one after the other. redis-py's own packing takes twice as long, in the
    way of every hit.

    Args:
        commands: words as `bytes`, `str`, `int` or `float`.
    """
    pieces, small = [], []
    for command in commands:
        small.append(b"*%d\r\n" % len(command))
        for word in command:
            data = str(word).encode() if isinstance(word, str | int | float) else word
            if len(data) <= _COPIED:
                small.append(b"$%d\r\n%b\r\n" % (len(data), data))
            else:
                pieces += [b"".join((*small, b"$%d\r\n" % len(data))), data]
                small = [b"\r\n"]
    return [*pieces, b"".join(small)]


class Pool:
    """At most `size` connections, the last one used first; waiting for one ends at the caller's deadline."""

    def __init__(self, make: Callable[[], AnyConnection], size: int) -> None:
        self._make = make
        self._size = size
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin anew, as a child does after a fork: the sockets belong to the parent, and locks may be held."""
        self._idle: list[AnyConnection] = []
        self._free = threading.BoundedSemaphore(self._size)

    @contextmanager
    def connection(self, deadline: float) -> Iterator[AnyConnection]:
        """A connected connection for one operation.

        Raises:
            PoolExhausted: none was free before `deadline`.
            RedisError, OSError: the server could not be reached, or refused.
        """
        idle, free = self._idle, self._free
        if not free.acquire(timeout=max(0.0, deadline - time.monotonic())) and not free.acquire(blocking=False):
            raise PoolExhausted(f"all {self._size} connections are in use")
        try:
            connection = self._take(idle, deadline)
            try:
                yield connection
            except BaseException:
                connection.shut()  # an answer may still be on its way, and would be taken for the next one's
                raise
            idle.append(connection)
        finally:
            free.release()

    def _take(self, idle: list[AnyConnection], deadline: float) -> AnyConnection:
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.usable:
                connection.until(deadline)
                return connection
            connection.shut()
        return self._connected(deadline)

    def _connected(self, deadline: float) -> AnyConnection:
        fresh = self._make()
        fresh.open(deadline)
        return fresh

    def leave(self) -> None:
        """Use no connection again that was made before; those in use end with their operation."""
        left, self._idle = self._idle, []
        while left:
            left.pop().shut()
