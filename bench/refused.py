"""What grants cost a request that they do not answer: a miss, a refused request, and the one that an answer is kept of.

Run with `python -m bench refused`. One app answers each request twice, with grants and without, in turn; the figure is
the median of the differences, since both share whatever else goes on. An answer is there with its last byte; what is
done behind it, as behind gunicorn's answers, is in the processor time alone.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.one_app import figures_of
from testing.grants import CSRF_SETTINGS, World

ROUNDS = int(os.environ.get("REFUSED_ROUNDS", "150"))
SETTINGS = """
import os
os.environ["SUPERSET_EXT_GRANTS"] = "triggers"
"""
SCRIPT = """
from bench.refused import measured
from flask.globals import _cv_app
from testing.grants import World

world = World(app, source, os.environ["METADATA"])
_cv_app.get().pop()  # in an app context, all requests would share what `g` holds
say(measured(world.ready()))
"""
Ask = Callable[[int], Any]
_SERVER = {"SERVER_SOFTWARE": "gunicorn/0"}


def measured(world: World) -> dict[str, dict[str, float]]:
    """Milliseconds by case, with grants and without; within the app's process."""
    client = world.client("p1", "session")
    asking = {"label": "x", "sqlExpression": "v + {{ cache_key_wrapper(0) }}", "expressionType": "SQL"}

    def ask(body: Mapping[str, Any], query: str = "") -> Any:
        return client.post(f"/api/v1/chart/data{query}", json=body, environ_overrides=_SERVER)

    download, refused = world.body() | {"result_format": "csv"}, world.body(columns=[asking], orderby=[])
    cases: dict[str, Ask] = {
        "a miss": lambda number: ask(world.body(row_limit=100 + number)),
        "a template that asks": lambda number: ask(refused, f"?nobody={number}"),
        "the same, asked again": lambda _: ask(refused),
        "a download": lambda _: ask(download),
        "a first ask of what is cached": lambda number: ask(world.body(), f"?nobody={number}"),
    }
    return {name: _beside(world, case) for name, case in cases.items()}


def _beside(world: World, ask: Ask) -> dict[str, float]:
    took: dict[str, list[float]] = {"with": [], "without": []}
    cpu: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(ROUNDS + 5):
        for how in ("with", "without") if number % 2 else ("without", "with"):
            world.grants.hooks._is_possible = how == "with"
            ms, cpu_ms = _one(ask, 2 * number + (how == "with"))
            if number >= 5:
                took[how].append(ms)
                cpu[how].append(cpu_ms)
    return {
        "without": statistics.median(took["without"]), "with": statistics.median(took["with"]),
        "added": _added(took), "added_cpu": _added(cpu),
    }  # fmt: skip


def _one(ask: Ask, number: int) -> tuple[float, float]:
    """Milliseconds of a request, and of this thread's processor time, that of what it left to be done included."""
    began, cpu = time.perf_counter(), time.thread_time()
    answer = ask(number)
    answer.get_data()
    ms = (time.perf_counter() - began) * 1000
    answer.close()
    return ms, (time.thread_time() - cpu) * 1000


def _added(times: Mapping[str, list[float]]) -> float:
    return statistics.median(one - other for one, other in zip(times["with"], times["without"], strict=True))


def main() -> None:
    """Print the table, and a line of JSON."""
    figures = figures_of(SCRIPT, SETTINGS + CSRF_SETTINGS)
    print(f"{'ms':<32}{'without grants':>16}{'with':>8}{'added':>8}{'of CPU':>8}")
    for name, row in figures.items():
        shown = f"{row['without']:>16.2f}{row['with']:>8.2f}{row['added']:>8.2f}{row['added_cpu']:>8.2f}"
        print(f"{name:<32}{shown}")
    print(json.dumps({"refused": figures}))


if __name__ == "__main__":
    main()
