"""The server that gives a server's answers again from memory, beside which openings are measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from testing.recorded import Recorded, Request

Ask = Callable[[str, str, bytes], Awaitable[bytes]]


def beside(check: Callable[[Recorded, Ask], Awaitable[None]]) -> None:
    """Run `check` with such a server before one that counts its answers."""

    async def run() -> None:
        count = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=old\r\nX-Kept: yes\r\n\r\nanswer %d" % count)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            recorded = Recorded("127.0.0.1", server.sockets[0].getsockname()[1])

            async def ask(method: str, target: str, body: bytes) -> bytes:
                return await recorded.answer(Request(f"{method} {target} HTTP/1.1".encode(), (b"Host: x",), body))

            await check(recorded, ask)

    asyncio.run(run())


def test_an_answer_is_given_again() -> None:
    """Intent: the same request gets the same bytes, without a cookie, and the server is not asked again."""

    async def check(recorded: Recorded, ask: Ask) -> None:
        first = await ask("POST", "/api/v1/chart/data?x=1", b"query")
        assert first == b"HTTP/1.1 200 OK\r\nX-Kept: yes\r\nContent-Length: 8\r\n\r\nanswer 1"
        assert await ask("POST", "/api/v1/chart/data?x=1", b"query") == first
        assert recorded.passed_on == 1

    beside(check)


def test_a_chart_has_its_own_answer() -> None:
    """Intent: what a chart asks is never answered with what another was told."""

    async def check(recorded: Recorded, ask: Ask) -> None:
        await ask("POST", "/api/v1/chart/data?x=1", b"query")
        for target, body in (("/api/v1/chart/data?x=1", b"other"), ("/api/v1/chart/data?x=2", b"query")):
            before = recorded.passed_on
            await ask("POST", target, body)
            assert recorded.passed_on == before + 1

    beside(check)


def test_what_each_opening_says_anew_has_the_last_answer() -> None:
    """Intent: a log entry, which no opening repeats, is answered from memory too."""

    async def check(recorded: Recorded, ask: Ask) -> None:
        first = await ask("POST", "/superset/log/?explode=events", b"at 1 ms")
        assert await ask("POST", "/superset/log/?explode=events", b"at 2 ms") == first
        assert recorded.passed_on == 1

    beside(check)
