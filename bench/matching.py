"""What it takes to find the aggregate of a statement among 1,000: processor milliseconds, on one table and on fifty.

`sqlglot` is what its parser alone takes of a statement; `parse and match` is all that we do of one that was never seen,
as if it were so each time; `seen before` is the same text again; `no candidate` is one of a table without aggregates.
Of each text the least of `RUNS` runs counts, so that what else the machine does has less part in it. Nothing is run.
`python -m bench matching` prints a table and JSON. `BENCH_VIEWS` makes fewer.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles

import sqlglot

from superset_ext.aggregates.lookup import Lookup
from superset_ext.aggregates.match import Match
from superset_ext.aggregates.over import Allowed
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregate_many import statement, views

VIEWS = int(os.environ.get("BENCH_VIEWS", 1000))
STATEMENTS = 500
RUNS = 5


def timed(call: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    """Milliseconds of the processor that each call takes, the least of some runs."""
    took: list[list[float]] = [[] for _ in texts]
    for _ in range(RUNS):
        for text, times in zip(texts, took, strict=True):
            start = time.thread_time()
            call(text)
            times.append((time.thread_time() - start) * 1000)
    return [min(times) for times in took]


def run(tables: int) -> dict[str, float]:
    """Figures for so many tables with aggregates."""
    some, names = random.Random(14), [f"facts_{number}" for number in range(tables)]
    lookup, allowed = Lookup(views(some, names, VIEWS), "postgres"), Allowed(zone="UTC")
    texts = [statement(some, some.choice(names), some.choice((0, 1, 2, 3))) for _ in range(STATEMENTS)]
    others = [statement(some, "elsewhere") for _ in range(STATEMENTS)]

    def ask(text: str) -> object:
        return lookup.answer(text, allowed)

    def anew(text: str) -> object:
        lookup._known.clear()
        return lookup.answer(text, allowed)

    for text in others[:20]:
        parsed(text, "postgres")
    figures = {
        "sqlglot": timed(lambda text: sqlglot.parse(text, dialect="postgres"), texts),
        "parse": timed(lambda text: parsed(text, "postgres"), texts), "parse and match": timed(anew, texts),
        "no candidate": timed(ask, others),
    }  # fmt: skip
    answered = sum(isinstance(lookup.answer(text, allowed), Match) for text in texts)
    figures["seen before"] = timed(ask, texts)
    result: dict[str, float] = {"tables": tables, "views": VIEWS, "answered": answered / STATEMENTS}
    for name, took in figures.items():
        result |= {f"{name} median": median(took), f"{name} p95": quantiles(took, n=20)[-1]}
    return result


def main() -> None:
    """Print the figures as a table, and as JSON."""
    results = [run(1), run(50)]
    for name in results[0]:
        print(f"{name:26} {results[0][name]:10.3f} {results[1][name]:10.3f}")
    print(json.dumps({"matching": results}))


if __name__ == "__main__":
    main()
