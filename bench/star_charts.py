"""The dashboard of `bench.star` through Superset's chart API: 12 charts and filters, from a table and from aggregates.

Run with `python -m bench star_charts`; it starts a PostgreSQL, a Valkey and a Superset of its own. `STAR_ROWS` says how
many rows the table has. The aggregates are those that our proposer chooses from the statements that Superset makes,
within a tenth of the table's bytes. Each chart is a request to `/api/v1/chart/data`, forced, so that no cache of
results has part in it. It is asked without and with the substitute in turn. Both times are those of the whole request;
ours has the parse and the match of a statement that was never seen. The answers have to be the same, in their order as
far as ORDER BY says it, or the run ends. Opening is all charts, one after the other.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from bench.star import ROUNDS, ROWS, TABLE, made
from superset_ext.aggregates.propose.asks import Asked
from superset_ext.aggregates.propose.considering import Proposed
from superset_ext.aggregates.propose.proposals import propose
from superset_ext.embedded.valkey import Valkey
from superset_ext.host import substitutes
from superset_ext.plans.indexes.source import only_reading
from testing.aggregate_tables import connected, run
from testing.databases import postgres_in
from testing.in_process import InProcess, start, stop
from testing.routed import Answer, Routed, ask, client, in_order, routed, stock
from testing.routed_shop import Shop
from testing.routed_steps import Ready

Query = Mapping[str, Any]


def _metric(sql: str, label: str) -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


def _time(grain: str) -> dict[str, str]:
    return {
        "timeGrain": grain, "columnType": "BASE_AXIS", "sqlExpression": "sold", "label": "sold", "expressionType": "SQL"
    }  # fmt: skip


REVENUE, SALES, PIECES = _metric("SUM(price)", "revenue"), _metric("COUNT(*)", "sales"), _metric("SUM(quantity)", "n")
MEAN, DEAREST, CHEAPEST = (_metric(f"{name}(price)", name.lower()) for name in ("AVG", "MAX", "MIN"))


def _chart(columns: list[Any], metrics: list[Any], order: Any = None, limit: int = 10_000) -> Query:
    orderby = [] if order is None else [[order, order in columns or order == "sold"]]
    return {"columns": columns, "metrics": metrics, "orderby": orderby, "row_limit": limit}


CHARTS: Mapping[str, Query] = {
    "total": _chart([], [REVENUE, SALES]),
    "average price": _chart([], [MEAN]),
    "by month": _chart([_time("P1M")], [REVENUE], REVENUE),
    "by week": _chart([_time("P1W")], [PIECES], "sold"),
    "by day": _chart([_time("P1D")], [SALES], "sold"),
    "regions": _chart(["region"], [REVENUE], REVENUE, 100),
    "categories": _chart(["category"], [PIECES, MEAN], PIECES, 100),
    "channels": _chart(["channel"], [SALES], SALES, 100),
    "regions by channel": _chart(["region", "channel"], [REVENUE], REVENUE, 1000),
    "channels by month": _chart([_time("P1M"), "channel"], [REVENUE], REVENUE),
    "dearest": _chart(["category"], [DEAREST, CHEAPEST], "category", 100),
    "values of a filter": _chart(["region"], [SALES], "region", 1000),
}
FILTERS: Mapping[str, Query] = {
    "none": {},
    "a region": {"filters": [{"col": "region", "op": "==", "val": "region 3"}]},
    "a year and two channels": {
        "filters": [{"col": "channel", "op": "IN", "val": ["web", "phone"]}], "granularity": "sold",
        "time_range": "2024-01-01 : 2025-01-01",
    },
}  # fmt: skip


@dataclass
class _Star:
    """A Superset with the table, and the substitute over its aggregates."""

    app: InProcess
    shop: Shop
    one: Routed

    def compared(self, name: str, chart: str) -> dict[str, Any]:
        """Milliseconds of a chart's request both ways, in turn: medians, and the median of their ratios."""
        query = {**CHARTS[chart], **FILTERS[name]}
        took: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            own, own_ms = self._timed(query, False)
            ours, ours_ms = self._timed(query, True)
            if ours.shown != own.shown or in_order(query, ours) != in_order(query, own):
                raise AssertionError(f"another answer: {name}, {chart}")
            if not ours.is_routed:
                return {"filter": name, "chart": chart, "refused": self._reason(ours)}
            took.append((own_ms, ours_ms))
        stock_ms, ours_ms = (statistics.median(times) for times in zip(*took, strict=True))
        times = statistics.median(own / ours for own, ours in took)
        return {"filter": name, "chart": chart, "stock_ms": round(stock_ms), "ours_ms": round(ours_ms, 1),
                "times": round(times, 1)}  # fmt: skip

    def _timed(self, query: Query, by_aggregates: bool) -> tuple[Answer, float]:
        for place in self.one.catalogue._looked[self.shop.number]._places.values():
            place._lookup._known.clear()  # as if nobody had seen the statement
        begin = time.perf_counter()
        answer = (ask if by_aggregates else stock)(self.app, self.shop.sales, **query)
        assert answer.status == 200 and not answer.is_cached, answer
        return answer, (time.perf_counter() - begin) * 1000

    def _reason(self, answer: Answer) -> str:
        self.one.flush()
        rows = self.app.rows("SELECT reason FROM superset_ext.aggregate_refusal ORDER BY last_at DESC LIMIT 1")
        return str(rows[0][0]) if rows else f"sent as {answer.sent}"


def _statements(app: InProcess, dataset: int) -> list[Asked]:
    """What Superset makes of the charts; nothing is run."""
    asked = []
    for name, more in FILTERS.items():
        for chart, query in CHARTS.items():
            body = {
                "datasource": {"id": dataset, "type": "table"}, "result_type": "query", "result_format": "json",
                "queries": [{"filters": [], "extras": {}, **query, **more}],
            }  # fmt: skip
            answer = client(app).post("/api/v1/chart/data", json=body)
            sql = answer.json["result"][0]["query"].strip().rstrip(";")
            asked.append(Asked(f"{name}, {chart}", sql, "public", 1.0, 1.0))
    return asked


def _proposed(url: str, asked: list[Asked]) -> Proposed:
    with closing(psycopg2.connect(url)) as connection, only_reading(connection) as cursor:
        return propose(cursor, asked)


def _dataset(name: str, url: str) -> Shop:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    database = Database(database_name=name)
    database.set_sqlalchemy_uri(url)
    dataset = SqlaTable(table_name="sales", database=database, schema="public")
    db.session.add_all([database, dataset])
    db.session.flush()
    dataset.fetch_metadata()
    db.session.commit()
    return Shop(name, database.id, url, dataset.id, 0, 0, {})


def measured(app: InProcess, url: str) -> dict[str, Any]:
    """All figures of a table of `ROWS` rows."""
    with connected(url) as connection:
        run(connection, TABLE.format(rows=ROWS))
        run(connection, "VACUUM sales")
        with app.app.app_context():
            shop = _dataset("star", url)
        known = made(connection, _proposed(url, _statements(app, shop.sales)))
        ((size,),) = run(connection, "SELECT pg_total_relation_size('sales')")
    one = routed(app, shop, aggregates_shadow=10**9, pairs=lambda: Ready(0.0, float("-inf")))
    substitutes.substitutes = (one,)
    try:
        star = _Star(app, shop, one)
        charts = [star.compared(name, chart) for name in FILTERS for chart in CHARTS]
    finally:
        substitutes.substitutes = ()
    served = [row for row in charts if "times" in row]
    return {
        "rows": ROWS, "bytes": size, "rounds": ROUNDS, "aggregates": len(known),
        "aggregate_bytes": sum(one.bytes or 0 for one in known), "charts": charts, "served": len(served),
        "median_times": round(statistics.median(row["times"] for row in served), 1),
        "least_times": min(row["times"] for row in served),
        "openings": [_opened(served, name) for name in FILTERS], "load": os.getloadavg()[1],
    }  # fmt: skip


def _opened(served: list[dict[str, Any]], name: str) -> dict[str, Any]:
    rows = [row for row in served if row["filter"] == name]
    own, ours = sum(row["stock_ms"] for row in rows), sum(row["ours_ms"] for row in rows)
    return {"filter": name, "charts": len(rows), "stock_ms": round(own), "ours_ms": round(ours),
            "times": round(own / ours, 1)}  # fmt: skip


def main() -> None:
    """Print a table and a line of JSON."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres_in(place / "postgres"))
        caches = Valkey(place / "valkey").start()
        stack.callback(caches.stop)
        app = start(server.create_database("superset"), caches.url, place)
        stack.callback(stop, app)
        with app.awake():
            figures = measured(app, server.create_database("star"))
    for row in figures["charts"]:
        figure = row.get("refused") or f"{row['stock_ms']:>9} ms {row['ours_ms']:>8} ms {row['times']:>8}×"
        print(f"{row['filter']:<24}{row['chart']:<20}{figure}")
    for row in figures["openings"]:
        print(f"{row['filter']:<24}{row['charts']:>2} charts{'':<11}{row['stock_ms']:>9} ms {row['ours_ms']:>8} ms"
              f" {row['times']:>8}×")  # fmt: skip
    print(
        f"{figures['served']} of {len(figures['charts'])} requests from {figures['aggregates']} aggregates, "
        f"{figures['aggregate_bytes'] / figures['bytes']:.2%} of the bytes, median {figures['median_times']}×"
    )
    print(json.dumps({"star_charts": figures}))


if __name__ == "__main__":
    main()
