"""What a chart's miss takes with connections that are kept, beside the same miss with a new one each time.

Run with `python -m bench.misses`. One app, one PostgreSQL source, asked in turn with kept connections and as stock
asks it; the second source is the same one, 10 ms away. Times are wall-clock time, since most of it is waiting.
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from contextlib import closing
from typing import Any

from bench.one_app import figures_of

ROUNDS = 40
DISTANCE_SECONDS = 0.010  # there and back
SETTINGS = """
from superset_ext.config import *
"""
SCRIPT = """
from bench.misses import measured
say(measured(app, os.environ["SOURCE"]))
"""


def measured(app: Any, source: str) -> dict[str, dict[str, float]]:
    """Milliseconds of a miss at the median, by source and by how connections are made; within the app's process."""
    from sqlalchemy.engine.url import make_url

    _furnish()
    url = make_url(source)
    port = far_away(url.host or "127.0.0.1", url.port or 5432)
    return {
        "beside": _beside(app, source),
        "10 ms away": _beside(app, url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)),
    }


def _furnish() -> None:
    """Superset's roles, and somebody who may ask."""
    from superset.extensions import security_manager

    from testing.in_process import ADMIN, PASSWORD

    security_manager.sync_role_definitions()
    role = security_manager.find_role("Admin")
    security_manager.add_user(ADMIN, "Ada", "Min", "admin@example.org", role, PASSWORD)


def _beside(app: Any, uri: str) -> dict[str, float]:
    from types import SimpleNamespace

    from superset_ext.host import engines as seam
    from testing.asking import Asking

    asking: Any = Asking(SimpleNamespace(app=app), uri)  # type: ignore[arg-type]
    asking.sql("CREATE TABLE IF NOT EXISTS t (v int)")
    asking.sql("TRUNCATE t")
    asking.sql("INSERT INTO t VALUES (1)")
    dataset, ours = asking.dataset("t"), seam.engines
    assert ours is not None
    took: dict[str, list[float]] = {"kept": [], "new each time": []}
    for number in range(ROUNDS + 2):
        for how in ("kept", "new each time") if number % 2 else ("new each time", "kept"):
            seam.engines = ours if how == "kept" else None
            started = time.perf_counter()
            cached, _ = asking.ask(dataset, row_limit=100 + number + (1000 if how == "kept" else 0))
            milliseconds = (time.perf_counter() - started) * 1000
            assert not cached
            if number > 1:
                took[how].append(milliseconds)
    seam.engines = ours
    return {how: statistics.median(times) for how, times in took.items()}


def far_away(host: str, port: int) -> int:
    """The port of something that passes all on to a server, each way late by half of `DISTANCE_SECONDS`."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            near, _ = server.accept()
            far = socket.create_connection((host, port))
            for pair in ((near, far), (far, near)):
                pair[1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with closing(target):
        while data := source.recv(65536):
            time.sleep(DISTANCE_SECONDS / 2)
            target.sendall(data)


def main() -> None:
    """Print the table, and a line of JSON."""
    figures = figures_of(SCRIPT, SETTINGS)
    for place, took in figures.items():
        kept, new = took["kept"], took["new each time"]
        print(f"a source {place:12} {new:7.1f} → {kept:7.1f} ms a miss  ×{kept / new:.2f}")
    print(json.dumps({"misses": figures}))


if __name__ == "__main__":
    main()
