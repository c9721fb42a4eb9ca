"""Index advice for TPC-H (scale 1, 19 queries), by hypopg and by a scratch server: costs, processor time, round trips.

Run with `python -m bench indexes`; it needs `tpchgen-cli` once and a PostgreSQL with hypopg (see `bench/tpch.py`).
Each search by hypopg is done once more by a scratch server, which knows of the source what its catalog says; what
hypopg says of the set that was chosen so stands beside it.
`python -m bench.indexes sizes` builds indexes, and shows their sizes beside the estimated ones.

Budgets are of hypopg's sizes, as in the published comparison of index selection algorithms, whose best results stand
beside ours. The last rows have budgets of our own sizes, which are nearer to what is on disk.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.tpch import missing, queries, tpch
from superset_ext.plans.indexes.candidates import Wanted, candidates, could_use
from superset_ext.plans.indexes.catalog import Catalog, read_catalog
from superset_ext.plans.indexes.extend import Search
from superset_ext.plans.indexes.generic import Plannable, plannable
from superset_ext.plans.indexes.index import Index, TableName
from superset_ext.plans.indexes.sandwich import Costs, bits
from superset_ext.plans.indexes.scratch.costs import ScratchCosts, scratch
from superset_ext.plans.indexes.sizes import PAGE, height_of, size_of
from superset_ext.plans.indexes.source import only_reading
from superset_ext.plans.indexes.uses import table_names, uses_of
from superset_ext.plans.indexes.whatif import Question, Size, WhatIf, hypopg_schema

MB = 1_000_000
PUBLISHED = {250: 65.2, 500: 56.3, 1000: 52.2}  # percent, the best algorithms of the comparison
PLAIN = Wanted(include=False, partial=False, expressions=False, brin=False)
COVERING = Wanted(include=True, partial=False, expressions=False, brin=False)
_TICKS = 100  # of processor time a second, in /proc


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        relative: cost with the indexes, in percent of that without.
        again: the same, asked of hypopg once more without anything remembered.
        seconds: of processor time, of this process and of the server's; of a scratch server with its start.
    """

    name: str
    relative: float
    again: float
    seconds: float
    round_trips: int
    plans: int
    requests: int
    megabytes: float
    ours_megabytes: float
    indexes: tuple[Index, ...]


def search(connection: Any, name: str, budget: int, wanted: Wanted, ours: bool, on_scratch: bool = False) -> Run:
    """One search, with everything read, parsed and asked anew."""
    with only_reading(connection) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        spent = _cpu(cursor.fetchone()[0])
        start, before = spent(), _ended()
        statements = [statement for text in queries().values() if (statement := plannable(text)) is not None]
        names = {name for one in statements for name in table_names(one.tree)}
        catalog = read_catalog(cursor, names)
        uses = [uses_of(statement.tree, catalog) for statement in statements]
        indexes = candidates(uses, wanted)
        schema, reason = hypopg_schema(cursor)
        if schema is None:
            sys.exit(f"superset_ext: {reason}")
        estimated = [size_of(index, catalog.of(index.table)) for index in indexes]
        sizes = estimated if ours else _hypopg_sizes(cursor, indexes)
        relevant = [sum(1 << number for number, index in enumerate(indexes) if could_use(index, own)) for own in uses]
        texts = [(statement.sql, statement.parameters) for statement in statements]
        with ExitStack() as stack:
            whatif: WhatIf | ScratchCosts = WhatIf(cursor, schema, [index.definition for index in indexes], texts)
            if on_scratch:
                whatif = stack.enter_context(scratch(cursor, sorted(names))).costs(indexes, texts)
            whatif.size(range(len(indexes)), [_whole(index, catalog) for index in indexes])
            costs = Costs(whatif, relevant)
            searching = Search(costs, indexes, sizes, [1.0] * len(statements))
            chosen = searching.best(budget)
            trips = whatif.round_trips + 3 + (not ours)
            relative = searching.total(chosen) / searching.total(0) * 100
            steps = [number for number, _ in searching.steps(chosen)]
            whatif.forget()
        seconds = spent() - start + (_ended() - before if on_scratch else 0.0)
        return Run(
            name, relative, _again(cursor, schema, indexes, statements, chosen), seconds,
            trips, whatif.plans, costs.requests,
            sum(sizes[number] for number in bits(chosen)) / MB,
            sum(estimated[number] for number in bits(chosen)) / MB, tuple(indexes[number] for number in steps),
        )  # fmt: skip


def _whole(index: Index, catalog: Catalog) -> Size:
    table = catalog.of(index.table)
    size = size_of(index, table)
    return Size(size, table.rows, height_of(size // PAGE, index, table) if index.method == "btree" else None)


def _ended() -> float:
    """Processor time of all processes of ours that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _whatif(cursor: Any, schema: str, indexes: Sequence[Index], statements: Sequence[Plannable]) -> WhatIf:
    texts = [(statement.sql, statement.parameters) for statement in statements]
    return WhatIf(cursor, schema, [index.definition for index in indexes], texts)


def _hypopg_sizes(cursor: Any, indexes: Sequence[Index]) -> list[int]:
    """The sizes that hypopg would give, in one round trip."""
    cursor.execute(
        "SELECT hypopg_relation_size(made.indexrelid) FROM unnest(%s) WITH ORDINALITY AS wanted (text, place), "
        "LATERAL hypopg_create_index('CREATE INDEX ' || text) AS made ORDER BY place",
        ([index.definition for index in indexes],),
    )
    sizes = [int(row[0]) for row in cursor.fetchall()]
    cursor.execute("SELECT hypopg_reset()")
    return sizes


def _again(cursor: Any, schema: str, indexes: Sequence[Index], statements: Sequence[Plannable], chosen: int) -> float:
    """The relative cost of a set by hypopg, asked with exactly this set."""
    fresh = _whatif(cursor, schema, indexes, statements)
    every = tuple(range(len(statements)))
    totals = [sum(cost.total for cost in costs if cost is not None)
              for costs in fresh.ask([Question((), every), Question(tuple(bits(chosen)), every)])]  # fmt: skip
    return totals[1] / totals[0] * 100


def _cpu(backend: int) -> Callable[[], float]:
    """A clock of the processor time of this process and of a server's one."""

    def spent() -> float:
        fields = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / _TICKS

    return spent


def run() -> list[Run]:
    """All searches, one after the other."""
    with tpch() as connection:
        rows = [(f"{size} MB", size, PLAIN, False) for size in PUBLISHED]
        rows.append(("1000 MB, INCLUDE", 1000, COVERING, False))
        rows += [(f"{size} MB on disk", size, PLAIN, True) for size in PUBLISHED]
        rows.append(("500 MB on disk, INCLUDE", 500, COVERING, True))
        return [
            search(connection, f"{name}{', scratch' * on_scratch}", size * MB, wanted, ours, on_scratch)
            for name, size, wanted, ours in rows
            for on_scratch in (False, True)
        ]


def built(connection: Any, indexes: Sequence[Index]) -> list[tuple[Index, int, int]]:
    """Each index with its estimated size and that of the built one, which is dropped again."""
    catalog: Catalog
    with only_reading(connection) as cursor:
        catalog = read_catalog(cursor, {index.table.name for index in indexes})
    connection.set_session(readonly=False, autocommit=True)
    rows = []
    with connection.cursor() as cursor:
        for index in indexes:
            cursor.execute(f'CREATE INDEX "{index.name}" {index.definition}')
            cursor.execute("SELECT pg_relation_size(%s::regclass)", (str(TableName(index.table.schema, index.name)),))
            size = cursor.fetchone()[0]
            cursor.execute(f"DROP INDEX {TableName(index.table.schema, index.name)}")
            rows.append((index, size_of(index, catalog.of(index.table)), size))
    return rows


def main() -> None:
    """Print a table and a line of JSON."""
    if (reason := missing()) is not None:
        print(f"left out: {reason}")
        return
    if sys.argv[1:] == ["sizes"]:
        _print_sizes()
        return
    runs = run()
    print(f"{'budget':33} {'cost %':>7} {'best published':>14} {'CPU s':>6} {'trips':>5} {'plans':>6} {'asked':>6} "
          f"{'MB':>6} {'ours':>6}")  # fmt: skip
    for row in runs:
        published = PUBLISHED.get(int(row.name.split()[0]), 0.0) if "disk" not in row.name else 0.0
        print(f"{row.name:33} {row.relative:7.2f} {published or '':>14} {row.seconds:6.2f} {row.round_trips:5} "
              f"{row.plans:6} {row.requests:6} {row.megabytes:6.0f} {row.ours_megabytes:6.0f}"
              f"{'' if abs(row.again - row.relative) < 1e-6 else f'  by hypopg: {row.again:.2f}'}")  # fmt: skip
    print(json.dumps({"indexes": [{**row.__dict__, "indexes": [index.definition for index in row.indexes]}
                                  for row in runs]}))  # fmt: skip


def _print_sizes() -> None:
    with tpch() as connection:
        runs = [
            search(connection, "", size * MB, wanted, ours=True) for size in PUBLISHED for wanted in (PLAIN, COVERING)
        ]
        indexes = list(dict.fromkeys(index for one in runs for index in one.indexes))
        for index, estimated, size in built(connection, indexes):
            print(
                f"{estimated / MB:8.1f} MB estimated {size / MB:8.1f} built {estimated / size:6.2f}  {index.definition}"
            )


if __name__ == "__main__":
    main()
