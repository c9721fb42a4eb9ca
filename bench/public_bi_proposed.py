"""How many of Public BI's 646 queries the aggregates answer that our proposer chooses from all of them, by workbook.

`PUBLIC_BI` names a clone of github.com/cwida/public_bi_benchmark, or its git directory;
`PUBLIC_BI=… python -m bench public_bi_proposed` prints a table and JSON. All 646 queries are the log, each asked once
and each of the same cost. The budget is a tenth of the bytes of the tables that they read. What is chosen is built on
the benchmark's samples in DuckDB, and each query that is said to be served is answered both ways there and compared.

**Sizes are estimates, since the tables are not in the clone.** It has the first 20 rows of each, and says that all 206
are 386 GB; so each table counts as 386/206 GB, and has as many rows of its sample's mean length as that is. How many
groups keys make is estimated in two ways, each a run of its own:

- `independent`: the values of each key by the GEE estimator (Charikar and others, PODS 2000), √(N/n) times those that
  the sample has once, besides the others; groups of several keys are the product, as if keys were independent. That is
  more than there are, as a rule.
- `sampled`: what the proposer takes of a sample of 30,000 rows, Haas and Stokes' estimator, here of 20.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.public_bi import LOOSELY, compare, fill, queries, tree
from superset_ext.aggregates.match import Match, match
from superset_ext.aggregates.propose.asks import Ask, Asked
from superset_ext.aggregates.propose.asks import read as read_all
from superset_ext.aggregates.propose.considering import Considering, Proposed
from superset_ext.aggregates.propose.rows import Estimate
from superset_ext.aggregates.view import ROWS, Key, View
from testing.aggregates import Engine, built, duckdb, read

WHOLE_BYTES = 386e9  # of all tables as CSV, by the benchmark's README
TABLES = 206
SHARE = 0.1
_HEAD = 16  # bytes of a group's entry in the index, beside its values
_NUMBER = 8  # bytes of a sum or a count


@dataclass
class Sizes:
    """Sizes of tables of which there is a sample.

    Attributes:
        estimate: groups of a table, from its rows, the sample's rows, and how often each group comes in it.
        by_column: whether groups of several keys are a product.
    """

    engine: Engine
    estimate: Callable[[float, float, Sequence[int]], float]
    by_column: bool
    _known: dict[Any, Any] = field(default_factory=dict)

    def total(self, relation: str) -> float:
        """Rows of a table of the mean size."""
        return max(WHOLE_BYTES / TABLES / self._width(relation), 1.0)

    def groups(self, view: View, keys: Sequence[Key]) -> Estimate:
        """Groups that keys make."""
        whole = self.total(view.relation)
        apart = [[key] for key in keys] if self.by_column else [list(keys)]
        rows = math.prod(self._of(view, part) for part in apart) if keys else 1.0
        return Estimate(min(rows, whole), "by 20 rows")

    def types(self, view: View) -> View:
        """The view with the types that DuckDB gives its columns; times are taken to be finite, and seen when built."""
        columns, _ = self.engine.run(f"SELECT * FROM ({view.select()}) AS t LIMIT 0")
        names = [*(view.names[key] for key in view.keys), ROWS, *(view.names[measure] for measure in view.measures)]
        types = dict(zip(names, columns, strict=True))
        return replace(view.typed(types), finite=frozenset(key.column for key in view.keys))

    def bytes(self, view: View, rows: float) -> float:
        """Its rows, with an index on its keys, as CSV would have them."""
        keys = sum(self._key_width(view, key) for key in view.keys)
        return rows * (2 * keys + _NUMBER * (len(view.measures) + 1) + _HEAD)

    def base_bytes(self, relation: str) -> float:
        """The mean table's."""
        return WHOLE_BYTES / TABLES

    def _of(self, view: View, keys: Sequence[Key]) -> float:
        names = ", ".join(key.value.sql(dialect="duckdb") for key in keys)
        counts = self._rows(f"SELECT COUNT(*) FROM {view.relation} AS t GROUP BY {names}")
        whole, sampled = self.total(view.relation), sum(counts)
        return max(1.0, min(self.estimate(whole, sampled, counts), whole)) if sampled else 1.0

    def _key_width(self, view: View, key: Key) -> float:
        value = key.value.sql(dialect="duckdb")
        mean = self._rows(f"SELECT AVG(LENGTH(COALESCE(CAST({value} AS VARCHAR), ''))) FROM {view.relation} AS t")
        return float(mean[0] or 0) + 1

    def _width(self, relation: str) -> float:
        """Mean bytes of a row of the sample, as CSV has it."""
        return float(self._rows(f"SELECT AVG(LENGTH(CAST(t AS VARCHAR))) FROM {relation} AS t")[0] or 1)

    def _rows(self, sql: str) -> list[Any]:
        if sql not in self._known:
            self._known[sql] = [row[0] for row in self.engine.run(sql)[1]]
        known: list[Any] = self._known[sql]
        return known


def gee(whole: float, sampled: float, counts: Sequence[int]) -> float:
    """The guaranteed-error estimator."""
    once = sum(count == 1 for count in counts)
    return math.sqrt(whole / sampled) * once + len(counts) - once


def haas_stokes(whole: float, sampled: float, counts: Sequence[int]) -> float:
    """As `superset_ext.aggregates.propose.rows` estimates."""
    once = sum(count == 1 for count in counts)
    return sampled * len(counts) / (sampled - once + once * sampled / whole)


WAYS = {"independent": (gee, True), "sampled": (haas_stokes, False)}


def run(source: Path) -> dict[str, Any]:
    """All figures, by the way in which groups are estimated."""
    with tempfile.TemporaryDirectory() as into, duckdb() as engine:
        folder = tree(source, Path(into))
        fill(engine, folder)
        log = list(queries(folder))
        return {way: _run(engine, log, Sizes(engine, *made)) for way, made in WAYS.items()}


def _run(engine: Engine, log: Sequence[tuple[str, str]], sizes: Sizes) -> dict[str, Any]:
    asks = _asks(engine, log)
    considering = Considering(LOOSELY)
    considering.take(asks, sizes)
    budget = considering.base_bytes * SHARE
    proposed = considering.chosen(float(len(log)), budget, lambda _relation: None)
    workbooks = {name: Counter[str](queries=number) for name, number in Counter(name for name, _ in log).items()}
    _count_served(engine, log, proposed, workbooks)
    whole = sum(workbooks.values(), Counter[str]())
    return {
        "aggregates": len(proposed.proposals), "base_bytes": considering.base_bytes, "budget": budget,
        "bytes": sum(one.bytes for one in proposed.proposals), "whole": dict(whole),
        "answerable": proposed.answerable, "refused": {one.reason: one.statements for one in proposed.refused},
        "workbooks": {name: [one["served"], one["queries"]] for name, one in workbooks.items()},
    }  # fmt: skip


def _asks(engine: Engine, log: Sequence[tuple[str, str]]) -> list[Ask]:
    """The queries that an aggregate could answer, each with its place in the log."""
    facts = engine.facts()
    asked = [Asked(str(place), sql, None, 1.0, 1.0) for place, (_, sql) in enumerate(log)]
    return read_all(asked, lambda _schema: facts, "")[0]


def _count_served(
    engine: Engine, log: Sequence[tuple[str, str]], proposed: Proposed, workbooks: dict[str, Counter[str]]
) -> None:
    """Count, by workbook, each query that is said to be served, and what comes of it on the samples."""
    facts = engine.facts()
    for proposal in proposed.proposals:
        view = built(engine, View(**vars_of(proposal.view), table="agg"))
        for asked in proposal.serves:
            workbook, sql = log[int(asked.fingerprint)]
            shape = read(sql, facts)
            answer = match(shape, view, LOOSELY)
            assert isinstance(answer, Match), (sql, answer)
            workbooks[workbook]["served"] += 1
            compare(engine, sql, answer, shape, workbooks[workbook])


def vars_of(view: View) -> dict[str, Any]:
    """What a view is made of, before it is built."""
    return {name: getattr(view, name) for name in ("engine", "relation", "keys", "measures", "columns")}


def main() -> None:
    """Print the figures as a table, and as JSON."""
    if "PUBLIC_BI" not in os.environ:
        print("left out: PUBLIC_BI names no clone of github.com/cwida/public_bi_benchmark", file=sys.stderr)
        return
    figures = run(Path(os.environ["PUBLIC_BI"]))
    for way, one in figures.items():
        share = one["bytes"] / one["base_bytes"]
        print(
            f"{way}: {one['aggregates']} aggregates of {one['bytes'] / 1e9:,.2f} GB, {share:.2%} of the tables' bytes"
        )
        for name, number in one["whole"].items():
            print(f"{number:6} {name}")
    print(f"{'served, by workbook':<22}{'queries':>8}" + "".join(f"{way:>14}" for way in figures))
    for name, (_, number) in figures["independent"]["workbooks"].items():
        print(f"{name:<22}{number:>8}" + "".join(f"{one['workbooks'][name][0]:>14}" for one in figures.values()))
    print(json.dumps({"public_bi_proposed": figures}))


if __name__ == "__main__":
    main()
