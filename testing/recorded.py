"""A server that gives every answer of another one again from memory: what no server can be quicker than.

`python -m testing.recorded URL PORT` listens on 127.0.0.1. What it is asked for the first time, it asks of URL and
keeps. The same method, path, query and body are answered with the same bytes. What is said anew by each opening (log
entries, the number of a browser's tab) has the last answer of its method and path; a chart never has the one of another
request. A cookie is not given again. It answers `GET /recorded` with how many requests it has passed on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from superset_ext.embedded.ports import LOOPBACK, free_port
from testing.serving import process

_CHARTS = ("/api/v1/chart/data", "/superset/explore_json/")
_OF_A_CONNECTION = (b"connection", b"keep-alive", b"set-cookie", b"transfer-encoding", b"content-length")
_MOST = 1 << 26  # bytes of a head


@contextmanager
def recorded(url: str) -> Iterator[str]:
    """The URL of such a server before the one of `url`, in a process of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "testing.recorded", url, str(port)]
        with process(command, os.environ, Path(folder) / "recorded.log"):
            _await(f"http://{LOOPBACK}:{port}")
            yield f"http://{LOOPBACK}:{port}"


def passed_on(url: str) -> int:
    """How many requests the server of `url` has passed on, since it had no answer to them."""
    return int(requests.get(f"{url}/recorded", timeout=30).text)


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            passed_on(url)
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}")


@dataclass(frozen=True)
class Request:
    """What a browser asked.

    Attributes:
        line: the first line: method, path with query, version.
        headers: the other lines of the head.
    """

    line: bytes
    headers: tuple[bytes, ...]
    body: bytes

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def path(self) -> str:
        return urlsplit(self.line.split(b" ")[1].decode()).path

    def head(self) -> bytes:
        """The head as it is passed on, by a connection of its own."""
        kept = [line for line in self.headers if not line.lower().startswith(b"connection:")]
        return b"\r\n".join([self.line, *kept, b"Connection: close", b"", b""])


@dataclass
class Recorded:
    """The answers of a server by what was asked.

    Attributes:
        passed_on: how many requests it had no answer to.
    """

    host: str
    port: int
    passed_on: int = 0
    _exact: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    _alike: dict[tuple[bytes, str], bytes] = field(default_factory=dict)

    async def answer(self, request: Request) -> bytes:
        """The bytes of an answer: from memory, or else the server's."""
        if request.path == "/recorded":
            return _whole(b"HTTP/1.1 200 OK", [b"Content-Type: text/plain"], str(self.passed_on).encode())
        exact, alike = (request.line, request.body), (request.method, request.path)
        known = self._exact.get(exact)
        if known is None and not request.path.startswith(_CHARTS):
            known = self._alike.get(alike)
        if known is None:
            self.passed_on += 1
            known = self._exact[exact] = self._alike[alike] = await self._ask(request)
        return known

    async def _ask(self, request: Request) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=_MOST)
        writer.write(request.head() + request.body)
        head = await reader.readuntil(b"\r\n\r\n")
        status, *headers = head[:-4].split(b"\r\n")
        chunked = any(line.lower().startswith(b"transfer-encoding: chunked") for line in headers)
        body = await _chunks(reader) if chunked else await reader.read()
        writer.close()
        return _whole(status, [line for line in headers if _name(line) not in _OF_A_CONNECTION], body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of one connection."""
        try:
            while True:
                writer.write(await self.answer(await _request(reader)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _name(line: bytes) -> bytes:
    return line.split(b":")[0].lower()


def _whole(status: bytes, headers: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([status, *headers, b"Content-Length: %d" % len(body), b"", body])


async def _request(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *headers = head[:-4].split(b"\r\n")
    length = next((int(header.split(b":")[1]) for header in headers if _name(header) == b"content-length"), 0)
    return Request(line, tuple(headers), await reader.readexactly(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    return b"".join(parts)


async def _main(url: str, port: int) -> None:
    parts = urlsplit(url)
    recorded = Recorded(parts.hostname or LOOPBACK, parts.port or 80)
    server = await asyncio.start_server(recorded.serve, LOOPBACK, port, limit=_MOST)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
