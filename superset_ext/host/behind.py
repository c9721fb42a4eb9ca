"""Work that nobody should wait for: what an answer leaves to be counted and kept, done once its bytes are sent."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request

from superset_ext.core.signals import attempt

# Servers that close an answer when they have sent it, in the thread or greenlet that did.
_SERVERS = ("gunicorn/",)


def behind(response: Response, work: Callable[[], object]) -> None:
    """Do some work behind an answer, or at once where the server is not known to say when it has sent one.

    The work has no request: what it needs of one is taken before. Its failure is counted, and concerns nobody.
    """
    if str(request.environ.get("SERVER_SOFTWARE")).startswith(_SERVERS):
        response.call_on_close(lambda: attempt(work))
    else:
        attempt(work)
