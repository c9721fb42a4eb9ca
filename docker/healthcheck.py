"""Whether a part of Superset works: `healthcheck.py web|worker|warmer|beat|listener` exits with 0, or with 1 and the
reason.

It loads neither Superset nor Flask: the usual `celery --app=superset… inspect ping` costs nine seconds of CPU each
time, this costs less than one. Each check raises `Unhealthy` where it fails.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

# Beat sleeps 300 s at most, and writes its file where it last did so more than 180 s ago.
BEAT_SILENCE_SECONDS = 600
LISTENER_SILENCE_SECONDS = 60  # it asks every two seconds which tables are watched
ANSWER_SECONDS = 5


class Unhealthy(Exception):
    """The reason, in one line."""


def web() -> None:
    """The web server answers /health with 200."""
    port = int(os.environ.get("SUPERSET_PORT", "8088"))
    server = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        server.request("GET", "/health")
        status = server.getresponse().status
    except (OSError, HTTPException) as error:
        raise Unhealthy(f"nothing answers on port {port}: {error}") from None
    if status != HTTPStatus.OK:
        raise Unhealthy(f"/health on port {port} answers {status}")


def worker(name: str = "celery") -> None:
    """The worker of this host answers a ping that goes through the broker."""
    from celery import Celery

    node, app = f"{name}@{socket.gethostname()}", Celery(broker=_broker())
    # By default a client tries to connect for ever, and Docker would end it without a message.
    app.conf.update(broker_connection_retry=False, broker_transport_options={"socket_connect_timeout": ANSWER_SECONDS})
    try:
        answers = app.control.ping(destination=[node], timeout=ANSWER_SECONDS)
    except Exception as error:  # noqa: BLE001 - kombu passes on the errors of each transport
        raise Unhealthy(f"the broker does not answer: {type(error).__name__}") from None
    if not answers:
        raise Unhealthy(f"{node} does not answer")


def _broker() -> str:
    from superset_ext.errors import SettingsError
    from superset_ext.settings import current

    try:
        return current().broker()
    except SettingsError as error:
        raise Unhealthy(str(error)) from None


def warmer() -> None:
    """The worker of warming's queue answers."""
    worker("warm")


def beat() -> None:
    """Beat has written its schedule file within the last ten minutes."""
    schedule = Path(os.environ.get("SUPERSET_BEAT_SCHEDULE", "/tmp/celerybeat-schedule"))  # noqa: S108 - as entrypoint.sh
    written = [path.stat().st_mtime for path in schedule.parent.glob(f"{schedule.name}*")]  # dbm adds endings
    if not written:
        raise Unhealthy(f"{schedule} does not exist")
    silence = time.time() - max(written)
    if silence > BEAT_SILENCE_SECONDS:
        raise Unhealthy(f"{schedule} was last written {silence:.0f} s ago")


def listener() -> None:
    """The listener has read within the last minute which tables are watched."""
    beat = Path(os.environ.get("SUPERSET_LISTENER_BEAT", "/tmp/superset-listener"))  # noqa: S108 - as the listener's
    if not beat.exists():
        raise Unhealthy(f"{beat} does not exist")
    silence = time.time() - beat.stat().st_mtime
    if silence > LISTENER_SILENCE_SECONDS:
        raise Unhealthy(f"{beat} was last touched {silence:.0f} s ago; it may not reach the log database")


ROLES: dict[str, Callable[[], None]] = {
    "web": web, "worker": worker, "warmer": warmer, "beat": beat, "listener": listener,
}  # fmt: skip


def main(argv: list[str]) -> int:
    """Check the role that `argv` names; returns the exit status, 64 where it names no role."""
    if len(argv) != 1 or argv[0] not in ROLES:
        print(f"usage: healthcheck.py {'|'.join(ROLES)}", file=sys.stderr)
        return 64
    try:
        ROLES[argv[0]]()
    except Unhealthy as problem:
        print(f"unhealthy: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
