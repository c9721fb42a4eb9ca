"""A way to a server that notes what passes, and may be long."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What a client sent at once.

    Attributes:
        at: when it came, by `time.perf_counter`.
        connection: the number of the connection that it came by.
    """

    at: float
    connection: int
    content: bytes


class Passage:
    """Passes all on between its port and a server.

    Args:
        host: the server's.
        port: the server's.
        seconds: of the way there and back.

    Attributes:
        port: its own, on 127.0.0.1.
        sent: what clients have sent.
    """

    def __init__(self, host: str, port: int, seconds: float = 0.0) -> None:
        self._target = host, port
        self._seconds = seconds
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.sent: list[Message] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def statements(self, since: float, application: str) -> list[str]:
        """The simple queries that came since then by PostgreSQL's connections of an application."""
        begun = f"application_name\0{application}\0".encode()
        own = {message.connection for message in self.sent if begun in message.content}
        return [
            message.content[5:].rstrip(b"\0").decode(errors="replace")
            for message in self.sent
            if message.at >= since and message.connection in own and message.content[:1] == b"Q"
        ]

    def _serve(self) -> None:
        number = 0
        while True:
            near, _ = self._server.accept()
            far, number = socket.create_connection(self._target), number + 1
            for source, target, noted in ((near, far, self.sent), (far, near, None)):
                target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, target, noted, number), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, noted: list[Message] | None, number: int) -> None:
        with closing(target), suppress(OSError):  # either side may have closed by now
            while data := source.recv(65536):
                if noted is not None:
                    noted.append(Message(time.perf_counter(), number, data))
                time.sleep(self._seconds / 2)
                target.sendall(data)
