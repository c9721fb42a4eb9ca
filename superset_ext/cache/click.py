"""When somebody asked for what this process answers now: a request may have waited for a free thread.

Of many forced refreshes at once, those that wait for a thread come to their turn when the first one's query has ended.
They were asked before it did, and so may take its answer. What tells when a request came is its socket: Linux knows
how long ago the last bytes arrived on it, which were this request's.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from flask import has_request_context, request

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
_AGE_AT = 52  # of `tcpi_last_data_recv` in Linux's `struct tcp_info`: milliseconds, after 8 bytes and 11 numbers
_GRAIN_MS = 20  # by which the system's figure may be too large, and more
_LONGEST_MS = 600_000


def waited_us() -> int:
    """Microseconds since the request under way arrived here, at least; 0 where that is not known."""
    if not (sys.platform == "linux" and has_request_context()):
        return 0
    sock = next((known for name in _SOCKETS if (known := request.environ.get(name)) is not None), None)
    return 0 if sock is None else 1000 * max(0, _age_ms(sock) - _GRAIN_MS)


def _age_ms(sock: Any) -> int:
    """How long ago the last bytes came on a TCP connection, 0 for any other."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _AGE_AT + 4)
    except (OSError, AttributeError):
        return 0
    age: int = struct.unpack_from("=I", info, _AGE_AT)[0] if len(info) >= _AGE_AT + 4 else 0
    return age if age <= _LONGEST_MS else 0
