"""Index advice beyond TPC-H: a shop with tenants, and the Star Schema Benchmark: costs, sizes, and a trial.

Run with `python -m bench workloads`; it needs a PostgreSQL with hypopg. Each workload (`bench/workload_data.py`) is
advised without hypopg, by a scratch server, and with it. Both sets are built, for their sizes and for what the source's
planner then says; and what hypopg leads to is tried as `perf indexes try` does it. `python -m bench.workloads tenants`
has one of them alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import psycopg2

from bench.workload_data import STAR, STAR_QUERIES, TENANT_QUERIES, TENANTS
from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.plans.indexes.advise import Advice, Proposal, advise
from superset_ext.plans.indexes.building import drop, named
from superset_ext.plans.indexes.generic import Plannable, plannable
from superset_ext.plans.indexes.index import TableName
from superset_ext.plans.indexes.live import Live
from superset_ext.plans.indexes.measuring import Compared, Measure
from superset_ext.plans.indexes.source import only_reading
from superset_ext.plans.indexes.trying import Trial, Verdict
from superset_ext.plans.indexes.whatif import Question, WhatIf
from superset_ext.plans.indexes.workload import Asked
from testing.databases import quick_folder
from testing.hypopg import MISSING, binaries, server

MB = 1_000_000
ROUNDS = 3
LIMIT = 30.0
WORKLOADS: Mapping[str, tuple[str, Mapping[str, str], int]] = {
    "tenants": (TENANTS, TENANT_QUERIES, 100 * MB),
    "star schema": (STAR, STAR_QUERIES, 100 * MB),
}


@dataclass(frozen=True)
class Result:
    """A workload's.

    Attributes:
        on_scratch, by_hypopg: advice without hypopg, and with it.
        once_built: the relative costs of the statements once the indexes of both stand.
        sizes: of each index of both, estimated and built, in bytes.
        verdicts: of the trial.
        queries: before and after, with what was kept.
    """

    on_scratch: Advice
    by_hypopg: Advice
    once_built: Sequence[float]
    sizes: Sequence[tuple[str, int, int]]
    verdicts: Sequence[Verdict]
    queries: Sequence[Compared]
    unit: str

    def _names(self, kept: bool) -> set[str]:
        """Of the indexes that were kept, or dropped, at any time."""
        return {one.item.index.name for one in self.verdicts if one.kept == kept}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        before, after = (sum(getattr(one, side).seconds for one in self.queries) for side in ("before", "after"))
        near = sum(0.9 <= estimated / size <= 1.1 for _, estimated, size in self.sizes)
        return {
            "cost_by_scratch": _relative(self.on_scratch), "cost_by_hypopg": _relative(self.by_hypopg),
            "once_built": list(self.once_built), "indexes": len(self.sizes), "sizes_within_a_tenth": near,
            "kept": len(self._names(True) - self._names(False)),
            "seconds_before": before, "seconds_after": after, "unit": self.unit,
            "slower": [one.live.fingerprint for one in self.queries if one.slower],
        }  # fmt: skip


def _relative(advice: Advice) -> float:
    return (advice.after or 0.0) / advice.seconds


def run(name: str, url: str) -> Result:
    """One workload, in a database of its own."""
    fill, queries, budget = WORKLOADS[name]
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(fill)
            cursor.execute("VACUUM (FREEZE, ANALYZE)")
        on_scratch = _advised(connection, queries, budget)
        connection.set_session(readonly=False, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION hypopg")
        by_hypopg = _advised(connection, queries, budget)
        connection.set_session(readonly=False, autocommit=True)
        before = _costs(connection, queries)
        built = [_built(connection, queries, advice) for advice in (on_scratch, by_hypopg)]
        once_built = [mean(now / then for now, then in zip(costs, before, strict=True)) for _, costs in built]
        sizes = list(dict.fromkeys(size for sizes, _ in built for size in sizes))
        return Result(on_scratch, by_hypopg, once_built, sizes, *_tried(connection, queries, by_hypopg))


def _plannable(queries: Mapping[str, str]) -> list[Plannable]:
    """Statements without their values, as the query log has them."""
    texts = [plannable(normalised(sql, "postgresql")) for sql in queries.values()]
    return [text for text in texts if text is not None]


def _costs(connection: Any, queries: Mapping[str, str]) -> list[float]:
    """What each statement costs with the indexes that stand."""
    texts = [(text.sql, text.parameters) for text in _plannable(queries)]
    with only_reading(connection) as cursor:
        (costs,) = WhatIf(cursor, "public", [], texts).ask([Question((), tuple(range(len(texts))))])
    connection.set_session(readonly=False, autocommit=True)
    return [cost.total for cost in costs if cost is not None]


def _advised(connection: Any, queries: Mapping[str, str], budget: int) -> Advice:
    """Advice for statements without their values, as the query log has them; each took one second."""
    asked = [Asked(name, 1, 1.0, plannable(normalised(sql, "postgresql"))) for name, sql in queries.items()]
    with only_reading(connection) as cursor:
        return advise(cursor, asked, budget)


def _built(
    connection: Any, queries: Mapping[str, str], advice: Advice
) -> tuple[list[tuple[str, int, int]], list[float]]:  # fmt: skip
    """The sizes of all indexes of a set, and what statements cost while it stands."""
    rows = []
    with connection.cursor() as cursor:
        for proposal in advice.proposals:
            index = proposal.index
            cursor.execute(f'CREATE INDEX "{index.name}" {index.definition}')
            cursor.execute("SELECT pg_relation_size(%s::regclass)", (_full(proposal),))
            rows.append((index.definition, proposal.bytes, int(cursor.fetchone()[0])))
        costs = _costs(connection, queries)
        for proposal in advice.proposals:
            cursor.execute(f"DROP INDEX {_full(proposal)}")
    return rows, costs


def _full(proposal: Proposal) -> str:
    return str(TableName(proposal.index.table.schema, proposal.index.name))


def _tried(connection: Any, queries: Mapping[str, str], advice: Advice) -> tuple[list[Verdict], list[Compared], str]:
    items = [named(proposal.index) for proposal in advice.proposals]
    lives = [Live(name, sql) for name, sql in queries.items()]
    measure = Measure(connection, ROUNDS, LIMIT)
    trial = Trial(connection, measure, lives, {}, "bench")
    try:
        with closing(trial.steps(items)) as steps:
            verdicts = [step for step in steps if isinstance(step, Verdict)]
        kept = [item.full_name for item in trial.kept]
        return verdicts, [measure.compared(live, kept) for live in lives], measure.unit
    finally:
        for item in items:
            drop(connection, item.drop)


def main() -> None:
    """Print tables and a line of JSON."""
    if binaries() is None:
        print(f"left out: {MISSING}")
        return
    names = sys.argv[1:] or list(WORKLOADS)
    results: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as otherwise,
        quick_folder(Path(otherwise)) as folder,
        server(folder / "data", "shared_buffers=256MB", "maintenance_work_mem=128MB") as url,
    ):
        for number, name in enumerate(names):
            with closing(psycopg2.connect(f"{url}/postgres")) as connection:
                connection.autocommit = True
                connection.cursor().execute(f"CREATE DATABASE workload_{number}")
            result = run(name, f"{url}/workload_{number}")
            _print(name, result)
            results[name] = result.as_dict()
    print(json.dumps({"workloads": results}))


def _print(name: str, result: Result) -> None:
    print(f"{name}: {result.on_scratch.notes[0]}")
    for verdict in result.verdicts:
        print(f"  {'kept' if verdict.kept else 'dropped':8} {verdict.item.index.definition}: {verdict.reason}")
    for definition, estimated, size in result.sizes:
        print(f"  {estimated / MB:6.1f} MB estimated, {size / MB:6.1f} built, {estimated / size:5.2f}  {definition}")
    for one in result.queries:
        print(f"  {one.live.fingerprint:9} {one.before.seconds * 1000:9.1f} ms before "
              f"{one.after.seconds * 1000:9.1f} after{'  slower' if one.slower else ''}")  # fmt: skip
    print(f"  {result.as_dict()}", flush=True)


if __name__ == "__main__":
    main()
