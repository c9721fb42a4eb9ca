"""Real servers that notices are sent to: one of mail, one of HTTP."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "superset", "hush-mail-password"


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client needs who logs in and sends; it keeps what it got."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _MailHandler)
        self.mails: list[tuple[str, Message]] = []
        self.logins: list[str] = []

    @property
    def config(self) -> dict[str, Any]:
        """Superset's settings for it."""
        return {
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": self.server_address[1], "SMTP_STARTTLS": False, "SMTP_SSL": False,
            "SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD, "SMTP_MAIL_FROM": "superset@example.org",
            "SMTP_SSL_SERVER_AUTH": False,
        }  # fmt: skip


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        to = ""
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "EHLO":
                self._say("250-here")
                self._say("250 AUTH PLAIN")
            elif verb == "AUTH":
                self.server.logins.append(base64.b64decode(line.split()[-1]).decode())
                self._say("235 welcome")
            elif verb == "DATA":
                self._say("354 go on")
                self.server.mails.append((to, message_from_bytes(self._body())))
                self._say("250 kept")
            elif verb == "QUIT":
                return self._say("221 bye")
            else:
                to = line.partition(":")[2].strip("<>") if verb == "RCPT" else to
                self._say("250 fine")
        return None

    def _body(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line[1:] if line.startswith(b"..") else line for line in lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class HookServer(ThreadingHTTPServer):
    """Keeps the JSON that is posted to it."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _HookHandler)
        self.posts: list[dict[str, Any]] = []


class _HookHandler(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest has better things to show."""


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[Any]:
    """A server that answers within this."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
