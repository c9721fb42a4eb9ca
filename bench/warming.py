"""Hits of a browser's first visit to all dashboards, from a cold cache: stock's `cache-warmup`, and `perf warm`.

Run with `python -m bench.warming`; it starts a stack of its own, or takes the one that TEST_STACK names. With the word
`visit` after it, nothing is warmed or forgotten: the visit shows how warm that stack is, and which charts are not.
Both strategies of stock that fit are run, one after the other, into the same cache: the popular dashboards,
after each of them was opened, and all charts; as an administrator, whom stock is told to take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.faults import stack
from testing.browser import Visit, browser
from testing.serving import Client
from testing.stack import RunningStack
from testing.warming import cool, forget, warm

STOCK = """
import json, sys
from superset.app import create_app
app = create_app()
with app.app_context():
    from superset.extensions import celery_app
    from superset.tasks.cache import cache_warmup
    from superset.tasks.types import FixedExecutor
    celery_app.conf.task_always_eager = True
    app.config["WEBDRIVER_BASEURL"] = sys.argv[1] + "/"
    app.config["CACHE_WARMUP_EXECUTORS"] = [FixedExecutor(sys.argv[2])]
    for name, options in (("top_n_dashboards", {"top_n": 100, "since": "1 day ago"}), ("dummy", {})):
        result = cache_warmup(name, **options)
        print(json.dumps({name: {key: len(value) for key, value in result.items()}}))
"""


def stock(running: RunningStack) -> None:
    """Stock's task, in process."""
    client = Client(running.url, running.user, running.password)
    for dashboard in client.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]:
        client.get(f"/api/v1/dashboard/{dashboard['id']}").raise_for_status()
    subprocess.run(
        [sys.executable, "-c", STOCK, running.url, running.user], env=running.env, check=True, capture_output=True
    )


def ours(running: RunningStack) -> None:
    """Ours, from a registry that knows nothing."""
    done = warm(running, "--dashboards", "all", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr


WAYS: dict[str, Callable[[RunningStack], None]] = {"stock": stock, "ours": ours}


def measured(running: RunningStack, way: Callable[[RunningStack], None]) -> dict[str, Any]:
    """Hits and results that run SQL of one visit to every dashboard and tab, after `way` has warmed a cold cache."""
    forget(running)
    started = time.monotonic()
    way(running)
    return {"warmed_in_s": round(time.monotonic() - started, 1)} | visited(running)


def visited(running: RunningStack) -> dict[str, Any]:
    """Hits and results that run SQL of one visit to every dashboard and tab, and the charts that missed."""
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), running.url)
        visit.login(running.user, running.password)
        answers = [answer for dashboard in visit.dashboards() for answer in visit.open(dashboard["id"])]
    results = [(answer.chart_id, result) for answer in answers for result in answer.ran_sql]
    missed = [chart for chart, result in results if not result["is_cached"]]
    hits = len(results) - len(missed)
    return {"hits": hits, "results": len(results), "share": round(hits / len(results), 4), "missed": missed}


def run() -> dict[str, Any]:
    """Each way by its name."""
    with stack() as running:
        results = {name: measured(running, way) for name, way in WAYS.items()}
        cool(running)
    return results


def main() -> None:
    """Print a table and a line of JSON."""
    if "visit" in sys.argv[1:]:
        with stack() as running:
            print(json.dumps({"visit": visited(running)}))
        return
    results = run()
    for name, row in results.items():
        print(f"{name:8} warmed in {row['warmed_in_s']:6.1f} s   {row['hits']:3} hits of {row['results']:3} "
              f"({row['share']:.1%})")  # fmt: skip
    print(json.dumps({"warming": results}))


if __name__ == "__main__":
    main()
