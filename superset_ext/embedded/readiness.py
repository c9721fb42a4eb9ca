"""Whether the parts of a starting stack answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from superset_ext.embedded.ports import LOOPBACK
from superset_ext.errors import StackError

START_SECONDS = 180.0


def web_answers(port: int) -> bool:
    """Whether the web server says that it is healthy."""
    server = HTTPConnection(LOOPBACK, port, timeout=START_SECONDS)  # the request is queued while gunicorn boots
    try:
        server.request("GET", "/health")
        return server.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        server.close()


def worker_answers(url: str, node: str) -> bool:
    """Whether a worker whose name begins with `node` answers a ping through the broker at `url`, within a second."""
    from celery import Celery

    with Celery(broker=f"{url}/0") as app:
        return any(name.startswith(node) for answer in app.control.ping(timeout=1.0) for name in answer)


def wait_for(name: str, answers: Callable[[], bool], check: Callable[[], None]) -> None:
    """Wait until a part answers, and call `check` between two attempts.

    Raises:
        StackError: it does not answer within three minutes, or `check` has found a failure.
    """
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        check()
        if time.monotonic() > deadline:
            raise StackError(f"{name} has not answered for {START_SECONDS:.0f} s; its lines above may say why")
        time.sleep(0.1)
