"""What the digest of the SQL costs a cached chart, beside the same hit without it.

Run with `python -m bench.sharing`. One app, one cache, one user. Each chart is asked in turn with the digest in its key
and without; both are hits. Times are the thread's processor time, which other work on the machine does not change.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.one_app import figures_of

ROUNDS = 20
CASES = {
    "physical dataset": "plain",
    "virtual dataset": "other",
    "virtual dataset with a template": "own",
    "row-level rule with a template": "ruled",
    "nested by a macro": "deep1",
    "nested three deep": "deep3",
    "annotation chart": "by_rule",
    "annotation chart, two deep": "by_chart",
}
SETTINGS = """
from superset_ext.config import *
FEATURE_FLAGS = {**FEATURE_FLAGS, "ENABLE_TEMPLATE_PROCESSING": True, "ALLOW_ADHOC_SUBQUERY": True}
"""
SCRIPT = """
from bench.sharing import measured
say(measured(app, source))
"""


def measured(app: Any, source: Any) -> dict[str, tuple[float, float]]:
    """Milliseconds of processor time of a hit with and without the digest, by case; within the app's process."""
    from testing.sharing import RULES, World

    world = World(app, source)
    world.rule(RULES[0])
    figures = {case: _beside(world, name) for case, name in CASES.items()}
    with world.mutator("1 = 1", "asked by {user}"):
        figures["mutator"] = _beside(world, "plain")
    return figures


def _beside(world: Any, name: str) -> tuple[float, float]:
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ROUNDS + 2):
        for digest in (True, False) if number % 2 else (False, True):
            with _nothing() if digest else without_digest():
                started = time.thread_time()
                answer = world.ask("u1", name)
                milliseconds = (time.thread_time() - started) * 1000
            assert not isinstance(answer, str), answer
            if number > 1:
                assert all(result["is_cached"] for result in answer), name
                took[digest].append(milliseconds)
    return statistics.median(took[True]), statistics.median(took[False])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def without_digest() -> Iterator[None]:
    """Keys and checks of rights as stock makes them."""
    from superset.common.query_context_processor import QueryContextProcessor
    from superset.connectors.sqla.models import SqlaTable

    from superset_ext.host import reserved

    ours: list[tuple[Any, str, Any]] = [
        (QueryContextProcessor, "query_cache_key", QueryContextProcessor.query_cache_key.__wrapped__),
        (SqlaTable, "get_extra_cache_keys", SqlaTable.get_extra_cache_keys.__wrapped__),
        (reserved, "moment", lambda is_key=False: _nothing()),
        (reserved, "keep_rights", lambda query_context: None),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in ours]
    for owner, name, stock in ours:
        setattr(owner, name, stock)
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def main() -> None:
    """Print the table, and a line of JSON."""
    figures = figures_of(SCRIPT, SETTINGS)
    for case, (with_digest, without) in figures.items():
        print(f"{case:34} {without:6.1f} → {with_digest:6.1f} ms  ×{with_digest / without:.2f}")
    print(json.dumps({"sharing": figures}))


if __name__ == "__main__":
    main()
