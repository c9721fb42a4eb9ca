"""A client that costs next to nothing, so that on two cores the server is what is measured: one socket, kept."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from requests.utils import default_user_agent

from testing.side_by_side import Asked

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_SECONDS = 120


class Wire:
    """A kept connection to one server, as one person, for answers that say their length.

    Args:
        url: the server's.
        person: the headers that say who asks.
    """

    def __init__(self, url: str, person: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        # A session is of the browser that logged in.
        headers = {"Host": parts.netloc, "Accept-Encoding": "zstd", "User-Agent": default_user_agent(), **person}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._packed: dict[Asked, bytes] = {}
        self._socket: socket.socket | None = None

    def ms(self, asked: Asked) -> float:
        """Milliseconds from sending a request to having the last byte of its answer.

        Raises:
            ValueError: the answer is none that was expected.
        """
        data = self._packed.get(asked) or self._pack(asked)
        try:
            return self._once(data)
        except OSError:
            self._socket = None  # it was kept for longer than the server does
            return self._once(data)

    def _pack(self, asked: Asked) -> bytes:
        method = "POST" if asked.body else "GET"
        kind = f"Content-Type: {asked.kind}\r\nContent-Length: {len(asked.body)}\r\n" if asked.body else ""
        data = f"{method} {asked.path} HTTP/1.1\r\n{self._headers}{kind}\r\n".encode() + asked.body
        self._packed[asked] = data
        return data

    def _once(self, data: bytes) -> float:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        self._socket.sendall(data)
        answer = b""
        while (end := answer.find(_END)) < 0:
            answer += self._more()
        missing = end + len(_END) + _length(answer[:end]) - len(answer)
        while missing > 0:
            missing -= len(self._more())
        took = (time.perf_counter() - began) * 1000
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"answered {answer[:200]!r}")
        return took

    def _more(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server has hung up")
        return data


def _length(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    if at < 0:
        raise ValueError(f"an answer without its length: {head[:200]!r}")
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
