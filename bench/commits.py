"""From a commit past Superset, to a watched table, to a browser's next request with the new number.

Run with `python -m bench.commits`; it starts a stack of its own, or takes the one that TEST_STACK names. A page in
Chromium asks for one chart again and again. Told are the milliseconds from the commit until the last request with an
old answer was sent, 0 where there was none, and until the first one with a new answer was.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from contextlib import closing
from typing import Any

import psycopg2

from bench.faults import stack
from testing.browser import Visit, browser
from testing.freshness import World, world
from testing.programs import program
from testing.warming import rows, until

COMMITS = 100
COLD_SECONDS = 1.8  # after which the listener stamps no more, and the next commit notifies
_ASK = """
async ([body, wanted]) => {
    let stale = 0;
    const token = (await (await fetch("/api/v1/security/csrf_token/")).json()).result;
    for (;;) {
        const sent = performance.timeOrigin + performance.now();
        const answer = await fetch("/api/v1/chart/data", {method: "POST", body: JSON.stringify(body),
            headers: {"Content-Type": "application/json", "X-CSRFToken": token}});
        const total = (await answer.json()).result[0].data[0].total;
        if (total >= wanted) return [stale, sent];
        stale = sent;
        await new Promise(done => setTimeout(done, 3));
    }
}
"""


def measured(orders: World, page: Any, pause: float) -> list[tuple[float, float]]:
    """Milliseconds to the last old and to the first new answer, of each commit."""
    found = []
    for _ in range(COMMITS):
        orders.look("table")
        wanted = orders.look("table")[1] + 1
        time.sleep(pause)
        committed: list[float] = []
        writer = threading.Timer(0.15, commit, (orders, committed))
        writer.start()
        stale, fresh = page.evaluate(_ASK, [orders.body("table"), wanted])
        writer.join()
        found.append((max(0.0, stale - committed[0]), max(0.0, fresh - committed[0])))
    return found


def commit(orders: World, committed: list[float]) -> None:
    """One more in one row; when that is committed, in milliseconds since 1970."""
    with closing(psycopg2.connect(orders.stack.examples_url)) as connection, connection:
        name = f"public.{orders.orders}"
        change = f"UPDATE {name} SET amount = amount + 1 WHERE ctid = (SELECT min(ctid) FROM {name})"
        connection.cursor().execute(change)
        connection.commit()
        committed.append(time.time() * 1000)


def spread(milliseconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1), "max_ms": round(max(milliseconds), 1)}


def run() -> dict[str, Any]:
    """Of commits that notify, and of those to a table that the listener is stamping already."""
    found: dict[str, Any] = {}
    with stack() as running, world(running) as orders:
        name = f"public.{orders.orders}"
        subprocess.run([program("superset"), "perf", "watch", "add", "examples", name], env=running.env, check=True)
        tag = f"table:{orders.database}:{name}"
        heard = "SELECT 1 FROM superset_ext.cache_invalidation_log WHERE source = 'postgresql' AND %s = ANY(tags)"
        until(lambda: rows(running, heard, (tag,)))
        try:
            with browser() as chromium:
                visit = Visit(chromium.new_page(), running.url)
                visit.login(running.user, running.password)
                for kind, pause in (("notifying", COLD_SECONDS), ("silent", 0.0)):
                    times = measured(orders, visit.page, pause)
                    found[kind] = {
                        "commits": COMMITS, "last_old": spread([old for old, _ in times]),
                        "first_new": spread([new for _, new in times]),
                    }  # fmt: skip
        finally:
            subprocess.run(
                [program("superset"), "perf", "watch", "remove", "examples", name], env=running.env, check=True
            )
    return found


def main() -> None:
    """Print a table and a line of JSON."""
    found = run()
    for kind, row in found.items():
        for name in ("last_old", "first_new"):
            told = row[name]
            print(f"{kind:<10} {name:<10} p50 {told['p50_ms']} ms, p99 {told['p99_ms']} ms, max {told['max_ms']} ms")
    print(json.dumps({"commits": found}))


if __name__ == "__main__":
    main()
