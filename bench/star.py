"""A dashboard of 12 charts and three filters on a table of 20 million rows: from the table, and from aggregates.

Run with `python -m bench star`; it starts a PostgreSQL of its own, in the folder of temporary files. `STAR_ROWS` says
how many rows there are. The aggregates are those that our own proposer chooses from the statements within a tenth of
the table's bytes. Each statement is run from the table and from an aggregate, in turn, in the server's SQL, with the
same rows or the run ends. Ours has the time that it takes to parse and match the statement, as one that was never seen,
and to ask the source whether the aggregate is exact. Opening is all statements one after the other, with one filter.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2

from superset_ext.aggregates.lookup import Lookup
from superset_ext.aggregates.match import Refusal
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.asks import Asked
from superset_ext.aggregates.propose.considering import Proposed
from superset_ext.aggregates.propose.proposals import propose
from superset_ext.aggregates.tables.building import build
from superset_ext.aggregates.tables.catalogue import Kept, kept
from superset_ext.aggregates.tables.definition import Definition, full
from superset_ext.embedded.postgres import Postgres
from superset_ext.plans.indexes.source import only_reading
from testing.aggregate_tables import connected, run

ROWS = int(os.environ.get("STAR_ROWS", "20000000"))
ROUNDS = int(os.environ.get("STAR_ROUNDS", "3"))
TABLE = """
CREATE TABLE sales AS SELECT i AS id, timestamp '2023-01-01' + i * (interval '1096 days' / {rows}) AS sold,
    'store ' || i % 200 AS store, 'region ' || i % 10 AS region, 'category ' || i * 7 % 23 AS category,
    CASE i % 4 WHEN 0 THEN 'web' WHEN 1 THEN 'shop' WHEN 2 THEN 'phone' END AS channel,
    i * 31 % 100000 AS customer, (i * 13 % 9 + 1)::integer AS quantity, (i * 17 % 9973)::numeric(10, 2) AS price
FROM generate_series(1, {rows}::bigint) AS s(i);
ANALYZE sales
"""
CHARTS = {
    "total": "SELECT SUM(price) AS revenue, COUNT(*) AS sales FROM sales {where}",
    "average price": "SELECT AVG(price) AS price FROM sales {where}",
    "by month": "SELECT DATE_TRUNC('month', sold) AS month, SUM(price) AS revenue FROM sales {where}"
    " GROUP BY DATE_TRUNC('month', sold) ORDER BY revenue DESC LIMIT 10000",
    "by week": "SELECT DATE_TRUNC('week', sold) AS week, SUM(quantity) AS pieces FROM sales {where}"
    " GROUP BY DATE_TRUNC('week', sold) ORDER BY week LIMIT 10000",
    "by day": "SELECT DATE_TRUNC('day', sold) AS day, COUNT(*) AS sales FROM sales {where}"
    " GROUP BY DATE_TRUNC('day', sold) ORDER BY day LIMIT 10000",
    "regions": "SELECT region, SUM(price) AS revenue FROM sales {where} GROUP BY region"
    " ORDER BY revenue DESC LIMIT 100",
    "categories": "SELECT category, SUM(quantity) AS pieces, AVG(price) AS price FROM sales {where} GROUP BY category"
    " ORDER BY pieces DESC LIMIT 100",
    "channels": "SELECT channel, COUNT(*) AS sales FROM sales {where} GROUP BY channel ORDER BY sales DESC LIMIT 100",
    "regions by channel": "SELECT region, channel, SUM(price) AS revenue FROM sales {where} GROUP BY region, channel"
    " ORDER BY revenue DESC LIMIT 1000",
    "channels by month": "SELECT DATE_TRUNC('month', sold) AS month, channel, SUM(price) AS revenue FROM sales {where}"
    " GROUP BY DATE_TRUNC('month', sold), channel ORDER BY month, channel LIMIT 10000",
    "dearest": "SELECT category, MAX(price) AS dearest, MIN(price) AS cheapest FROM sales {where} GROUP BY category"
    " ORDER BY category LIMIT 100",
    "values of a filter": "SELECT region, COUNT(*) AS sales FROM sales {where} GROUP BY region"
    " ORDER BY region LIMIT 1000",
}  # fmt: skip
FILTERS = {
    "none": "",
    "a region": "WHERE region = 'region 3'",
    "a year and two channels": "WHERE sold >= '2024-01-01 00:00:00' AND sold < '2025-01-01 00:00:00'"
    " AND channel IN ('web', 'phone')",
}  # fmt: skip


def statements() -> list[tuple[str, str, str]]:
    """Filter, chart and statement of all."""
    return [(name, chart, sql.format(where=where)) for name, where in FILTERS.items() for chart, sql in CHARTS.items()]


def proposed(url: str) -> Proposed:
    """What our proposer makes of the statements, each of which is asked as often."""
    asked = [Asked(f"{name}, {chart}", sql, "public", 1.0, 1.0) for name, chart, sql in statements()]
    with closing(psycopg2.connect(url)) as connection, only_reading(connection) as cursor:
        return propose(cursor, asked)


def made(connection: Any, proposals: Proposed) -> list[Kept]:
    """The proposals as tables, kept up by notes."""
    for place, one in enumerate(proposals.proposals):
        name = f"star_{place}"
        build(connection, Definition(name, replace(one.view, table=full(name)), ("public",), None))
    with connection.cursor() as cursor:
        return kept(cursor)


def _stock(connection: Any, sql: str) -> tuple[list[Any], float]:
    begin = time.perf_counter()
    rows = run(connection, sql)
    return rows, time.perf_counter() - begin


def _ours(connection: Any, sql: str, known: list[Kept], allowed: Allowed) -> tuple[list[Any] | None, float, str]:
    lookup = Lookup([one.definition.settled_view for one in known], "postgres", "public")
    begin = time.perf_counter()
    answer = lookup.answer(sql, allowed)
    if isinstance(answer, Refusal):
        return None, 0.0, answer.reason
    (one,) = [one for one in known if one.view.table == answer.view.table]
    run(connection, "SELECT superset_ext_aggregates.sure(%s, %s)", (one.name, one.version))
    rows = run(connection, answer.sql)
    return rows, time.perf_counter() - begin, ""


def compared(connection: Any, known: list[Kept]) -> list[dict[str, Any]]:
    """Seconds of each statement both ways, in turn: medians, and the median of their ratios."""
    allowed = Allowed(zone=run(connection, "SHOW timezone")[0][0])
    results = []
    for name, chart, sql in statements():
        stock, ours, reason = [], [], ""
        for _ in range(ROUNDS):
            rows, seconds = _stock(connection, sql)
            answer, our_seconds, reason = _ours(connection, sql, known, allowed)
            if answer is None:
                break
            if _sorted(answer) != _sorted(rows):
                raise AssertionError(f"another answer: {name}, {chart}")
            stock.append(seconds)
            ours.append(our_seconds)
        results.append(_row(name, chart, stock, ours, reason))
    return results


def _sorted(rows: Iterable[Any]) -> list[str]:
    """Rows by value and type; which of those that tie comes first is open in both."""
    return sorted(map(repr, rows))


def _row(name: str, chart: str, stock: list[float], ours: list[float], reason: str) -> dict[str, Any]:
    if reason:
        return {"filter": name, "chart": chart, "refused": reason}
    times = statistics.median(one / other for one, other in zip(stock, ours, strict=True))
    return {
        "filter": name, "chart": chart, "stock_ms": round(statistics.median(stock) * 1000, 1),
        "ours_ms": round(statistics.median(ours) * 1000, 2), "times": round(times, 1),
    }  # fmt: skip


def measured(url: str) -> dict[str, Any]:
    """All figures of a table of `ROWS` rows."""
    with connected(url) as connection:
        run(connection, TABLE.format(rows=ROWS))
        run(connection, "VACUUM sales")
        proposals = proposed(url)
        known = made(connection, proposals)
        results = compared(connection, known)
        ((size,),) = run(connection, "SELECT pg_total_relation_size('sales')")
    served = [row for row in results if "times" in row]
    opened = [_opened(served, name) for name in FILTERS]
    return {
        "rows": ROWS, "bytes": size, "aggregates": len(known), "aggregate_bytes": sum(one.bytes or 0 for one in known),
        "build_seconds": round(sum(one.seconds or 0 for one in known), 1), "statements": len(results),
        "served": len(served), "median_times": round(statistics.median(row["times"] for row in served), 1),
        "openings": opened, "charts": results,
    }  # fmt: skip


def _opened(served: list[dict[str, Any]], name: str) -> dict[str, Any]:
    rows = [row for row in served if row["filter"] == name]
    stock, ours = sum(row["stock_ms"] for row in rows), sum(row["ours_ms"] for row in rows)
    return {"filter": name, "charts": len(rows), "stock_ms": round(stock), "ours_ms": round(ours, 1),
            "times": round(stock / ours, 1)}  # fmt: skip


def main() -> None:
    """Print a table and a line of JSON."""
    with tempfile.TemporaryDirectory() as place:
        server = Postgres(Path(place) / "data").start()
        try:
            figures = measured(server.create_database("star"))
        finally:
            server.stop()
    for row in figures["charts"]:
        figure = row.get("refused") or f"{row['stock_ms']:>9} ms {row['ours_ms']:>8} ms {row['times']:>8}×"
        print(f"{row['filter']:<24}{row['chart']:<20}{figure}")
    for row in figures["openings"]:
        print(f"{row['filter']:<24}{row['charts']:>2} charts{'':<11}{row['stock_ms']:>9} ms {row['ours_ms']:>8} ms"
              f" {row['times']:>8}×")  # fmt: skip
    print(
        f"{figures['served']} of {figures['statements']} statements from {figures['aggregates']} aggregates, "
        f"{figures['aggregate_bytes'] / figures['bytes']:.2%} of the bytes, median {figures['median_times']}×"
    )
    print(json.dumps({"star": figures}))


if __name__ == "__main__":
    main()
