"""A trial of the indexes that are advised for TPC-H (scale 1, 19 queries): what they bring, and that nothing is slower.

Run with `python -m bench index_trial`; it needs what `bench.indexes` needs. The indexes of the search for 1,000 MB by
hypopg's sizes are really built and measured by `superset_ext.plans.indexes.trying`, and dropped at the end. What counts
is processor time of the server, its parallel workers included; the quickest of several runs. A query that is not done
within `LIMIT` counts for that.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench.indexes import MB, PLAIN, search
from bench.tpch import missing, queries, tpch
from superset_ext.plans.indexes.building import Named, drop, named
from superset_ext.plans.indexes.live import Live
from superset_ext.plans.indexes.measuring import Compared, Measure
from superset_ext.plans.indexes.trying import Trial, Verdict

BUDGET = 1000
LIMIT = 30.0
ROUNDS = 3


@dataclass(frozen=True)
class Tried:
    """The trial: each index, and each query before and after."""

    estimated: float
    unit: str
    verdicts: tuple[Verdict, ...]
    queries: tuple[Compared, ...]

    @property
    def relative(self) -> float:
        """Seconds of all queries after, of those before."""
        return sum(one.after.seconds for one in self.queries) / sum(one.before.seconds for one in self.queries)


def tried(connection: Any) -> Tried:
    """Search, try, and measure all queries with what is kept and without."""
    run = search(connection, f"{BUDGET} MB", BUDGET * MB, PLAIN, ours=False)
    items = [named(index) for index in run.indexes]
    lives = [Live(number, text) for number, text in queries().items()]
    measure = Measure(connection, ROUNDS, LIMIT)
    trial = Trial(connection, measure, lives, {}, "bench")
    verdicts: list[Verdict] = []
    try:
        with closing(trial.steps(items)) as steps:
            for step in steps:
                if isinstance(step, Verdict):
                    verdicts.append(step)
                    print(
                        f"{'kept' if step.kept else 'dropped':8} {step.item.index.definition}: {step.reason}",
                        flush=True,
                    )
        without = [item.full_name for item in trial.kept]
        pairs = [measure.compared(live, without) for live in lives]
    finally:
        _drop_all(connection, items)
    return Tried(run.relative, measure.unit, tuple(verdicts), tuple(pairs))


def _drop_all(connection: Any, items: list[Named]) -> None:
    for item in items:
        drop(connection, item.drop)


def main() -> None:
    """Print a table and a line of JSON."""
    if (reason := missing()) is not None:
        print(f"left out: {reason}")
        return
    with tpch() as connection:
        result = tried(connection)
    print(
        f"\n{'query':>5} {'before s':>9} {'after s':>8} {'ratio':>6} {'noise s':>8} {'blocks before':>14} {'after':>9}"
    )
    for one in result.queries:
        print(f"{one.live.fingerprint:>5} {one.before.seconds:9.2f} {one.after.seconds:8.2f} "
              f"{one.after.seconds / one.before.seconds:6.2f} {one.noise:8.3f} {one.before.blocks:14} "
              f"{one.after.blocks:9}{'  slower' if one.slower else ''}")  # fmt: skip
    print(f"\n{result.unit}: {result.relative:.2f} of what it was; estimated {result.estimated / 100:.2f}")
    print(json.dumps({"index_trial": {
        "relative": result.relative, "estimated": result.estimated / 100, "unit": result.unit,
        "slower": [one.live.fingerprint for one in result.queries if one.slower],
        "indexes": [{"definition": one.item.index.definition, "kept": one.kept, "reason": one.reason}
                    for one in result.verdicts],
        "queries": {one.live.fingerprint: [one.before.seconds, one.after.seconds] for one in result.queries},
    }}))  # fmt: skip


if __name__ == "__main__":
    main()
