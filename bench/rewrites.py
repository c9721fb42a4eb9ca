"""Rewritten statements beside the original ones: time of both texts in turns, on PostgreSQL and DuckDB.

The tables have 2 million rows, or what `BENCH_ROWS` says. The texts are run in turns, warm; medians. Each pair gives
the same rows, which is looked at first. `python -m bench rewrites` prints a table and JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from superset_ext.plans.rewrite import ADVICE, AUTOMATIC, Rule, rewritten
from testing.databases import Databases, postgres_in
from testing.rewrite_sources import Source, duckdb, postgresql
from testing.rewrites import differs

ROWS = int(os.environ.get("BENCH_ROWS", 2_000_000))
ROUNDS = 5
_TABLES = (
    """CREATE TABLE sales AS SELECT CAST(i AS integer) AS id, CAST(i % 1000 AS integer) AS shop,
    CAST('2015-01-01' AS date) + CAST((CAST(i AS bigint) * 7919) % 4018 AS integer) AS day,
    'customer ' || (CAST(i AS bigint) * 7907) % 100003 AS name,
    CAST('2015-01-01' AS timestamp) + (CAST(i AS bigint) * 7919) % 4018 * INTERVAL '1 day' AS at,
    CAST(i % 977 AS numeric(10, 2)) AS price FROM generate_series(1, {rows}) AS s(i)""",
    """CREATE TABLE shops AS SELECT CAST(i AS integer) AS id, 'town ' || i % 300 AS town
    FROM generate_series(0, 999) AS s(i)""",
    "CREATE TABLE gone AS SELECT id FROM sales WHERE id % 3 = 0",
    "CREATE UNIQUE INDEX sales_id ON sales (id)",
    "CREATE INDEX sales_day ON sales (day)",
    "CREATE INDEX sales_shop ON sales (shop)",
    *(f"ALTER TABLE {table} ALTER id SET NOT NULL" for table in ("shops", "gone")),
)
_HALF = "day < CAST('2015-03-01' AS date)"
CASES: tuple[tuple[str, str], ...] = (
    (
        "unneeded_order",
        "SELECT shop, COUNT(*) AS n, SUM(price) AS s FROM (SELECT * FROM sales ORDER BY name, day) AS v"
        " GROUP BY shop ORDER BY shop LIMIT 10000",
    ),
    ("extract_range", "SELECT COUNT(*) AS n, SUM(price) AS s FROM sales WHERE EXTRACT(YEAR FROM day) = 2026"),
    (
        "moment_as_constant",
        "SELECT COUNT(*) AS n, SUM(price) AS s FROM sales"
        " WHERE at >= TO_TIMESTAMP('2020-03-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
        " AND at < TO_TIMESTAMP('2020-03-08 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')",
    ),
    ("integer_as_text", "SELECT COUNT(*) AS n, SUM(price) AS s FROM sales WHERE CAST(id AS text) = '12345'"),
    ("integer_as_decimal", "SELECT COUNT(*) AS n, SUM(price) AS s FROM sales WHERE id = 12345.0"),
    (
        "or_across_join",
        "SELECT COUNT(*) AS n, SUM(s.price) AS s FROM sales AS s JOIN shops AS h ON h.id = s.shop"
        " WHERE s.id < 100 OR h.town = 'town 7'",
    ),
    (
        "filter_into_cte",
        "WITH w AS MATERIALIZED (SELECT id, shop, price FROM sales)"
        " SELECT COUNT(*) AS n, SUM(price) AS s FROM w WHERE w.shop = 7",
    ),
    (
        "correlated_aggregate",
        f"SELECT h.town AS town, (SELECT COUNT(*) FROM sales AS s WHERE s.shop = h.id AND {_HALF}) AS n"
        " FROM shops AS h",
    ),
    ("not_in", "SELECT COUNT(*) AS n FROM shops WHERE id NOT IN (SELECT id FROM gone)"),
    ("count_distinct", "SELECT COUNT(DISTINCT name) AS n FROM sales"),
)


def main() -> None:
    """Measure both engines, where both are there."""
    rules = {rule.__name__: rule for rule in (*AUTOMATIC, *ADVICE)}
    figures = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_in(Path(folder) / "server") as server,
        Databases(server).empty() as url,
        postgresql(url) as source,
    ):
        figures["postgresql"] = _measure(source, rules)
    if find_spec("duckdb") is not None:
        with duckdb() as source:
            figures["duckdb"] = _measure(source, rules)
    print(json.dumps({"rewrites": {"rows": ROWS, "rounds": ROUNDS, **figures}}))


def _measure(source: Source, rules: dict[str, Rule]) -> dict[str, dict[str, float]]:
    for table in _TABLES:
        source.run(table.format(rows=ROWS))
    source.run("ANALYZE")
    facts, figures = source.facts(), {}
    print(f"{source.name:12} {'original, ms':>14} {'rewritten, ms':>14} {'times':>8}")
    for name, sql in CASES:
        if source.name == "duckdb" and name == "moment_as_constant":
            continue  # Superset's filters of time are constants there
        text = rewritten(sql, facts, (rules[name],)).sql
        if text == sql or differs(source.run(sql), source.run(text)):
            raise SystemExit(f"superset_ext: {name} does not apply on {source.name}, or gives other rows")
        stock, ours = _in_turns(source, (sql, text))
        figures[name] = {
            "original_ms": round(stock, 2),
            "rewritten_ms": round(ours, 2),
            "times": round(stock / ours, 1),
        }
        print(f"{name:24} {stock:14.2f} {ours:14.2f} {stock / ours:8.1f}", flush=True)
    return figures


def _in_turns(source: Source, texts: Sequence[str]) -> list[float]:
    """The median milliseconds of each text; they run in turns."""
    took: list[list[float]] = [[] for _ in texts]
    for _ in range(ROUNDS):
        for text, times in zip(texts, took, strict=True):
            started = time.perf_counter()
            source.run(text)
            times.append((time.perf_counter() - started) * 1000)
    return [median(times) for times in took]


if __name__ == "__main__":
    main()
