"""Charts that are answered by another text of their statement, beside Superset's own: each automatic rule.

A chart a rule, on a table of 2 million rows, or of what `BENCH_ROWS` says. Each is asked in turns with the seam's
substitute and without it; medians of what a query took, as the query log has it, all that the substitute does included.
A text is in use once it has been compared in the background, as for people. `python -m bench automatic` prints a table
and JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2

from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Queried, queried
from superset_ext.host import substitutes
from testing.databases import postgres_in
from testing.in_process import InProcess, start, stop

ROWS = int(os.environ.get("BENCH_ROWS", 2_000_000))
ROUNDS = 7
PATIENCE_SECONDS = 300.0
_TABLE = f"""
CREATE TABLE sales AS SELECT i AS id, i % 1000 AS shop, date '2015-01-01' + (i::bigint * 7919 % 4018)::int AS day,
    'customer ' || i::bigint * 7907 % 100003 AS name, (i % 977)::numeric(10, 2) AS price,
    timestamp '2015-01-01' + i::bigint * 7919 % 4018 * interval '1 day' AS at
FROM generate_series(1, {ROWS}) AS i;
CREATE UNIQUE INDEX ON sales (id);
CREATE INDEX ON sales (day);
ANALYZE sales;
"""
_NUMBER = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}
_TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(price)", "label": "total"}
# A chart for each rule: whether it is on the virtual dataset, and what it asks.
CASES: dict[str, tuple[bool, dict[str, Any]]] = {
    "unneeded_order": (True, {"columns": ["shop"], "orderby": [["shop", True]], "row_limit": 10_000}),
    "extract_range": (False, {"extras": {"where": "EXTRACT(YEAR FROM day) = 2026"}}),
    "moment_as_constant": (False, {"granularity": "at", "time_range": "2020-03-01 : 2020-03-08"}),
    "integer_as_text": (False, {"extras": {"where": "CAST(id AS TEXT) = '12345'"}}),
    "integer_as_decimal": (False, {"extras": {"where": "id = 12345.0"}}),
}


def main() -> None:
    """Measure each rule."""
    os.environ["SUPERSET_EXT_REWRITES"] = '[{"database": "*"}]'
    with _app() as (app, datasets):
        print(f"{'':24} {'stock, ms':>12} {'rewritten, ms':>14} {'times':>8}")
        figures = {rule: _measured(app, datasets[virtual], rule, query) for rule, (virtual, query) in CASES.items()}
        alone = _compared(app)
    print(json.dumps({"automatic": {"rows": ROWS, "rounds": ROUNDS, **figures, "statements_alone": alone}}))


@contextmanager
def _app() -> Iterator[tuple[InProcess, dict[bool, int]]]:
    """Superset in this process, and its datasets: the table, and, under `True`, the virtual one that sorts it."""
    with tempfile.TemporaryDirectory() as folder, postgres_in(Path(folder) / "postgres") as postgres:
        valkey = Valkey(Path(folder) / "valkey").start()
        source = postgres.create_database("source")
        with closing(psycopg2.connect(source)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(_TABLE)
        app = start(postgres.create_database("meta"), valkey.url, Path(folder))
        try:
            with app.awake():
                with app.app.app_context():
                    datasets = _datasets(source)
                yield app, datasets
        finally:
            stop(app)
            valkey.stop()


def _datasets(url: str) -> dict[bool, int]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    database = Database(database_name="sales")
    database.set_sqlalchemy_uri(url)
    sql = "SELECT shop, price FROM sales ORDER BY name, day"
    made = {
        virtual: SqlaTable(table_name=f"sales {virtual}" if virtual else "sales", sql=sql if virtual else None,
                           database=database, schema="public")
        for virtual in (False, True)
    }  # fmt: skip
    db.session.add_all([database, *made.values()])
    db.session.flush()
    for dataset in made.values():
        dataset.fetch_metadata()
    db.session.commit()
    return {virtual: dataset.id for virtual, dataset in made.items()}


def _measured(app: InProcess, dataset: int, rule: str, query: dict[str, Any]) -> dict[str, float]:
    ours, client, took = substitutes.substitutes, app.client(), {True: list[float](), False: list[float]()}
    _wait_until_used(client, dataset, query)
    for _ in range(ROUNDS):
        for rewritten, made in ((False, ()), (True, ours)):
            substitutes.substitutes = made
            event = _asked(client, dataset, query)
            took[rewritten].append(event.ms)
    substitutes.substitutes = ours
    stock, other = median(took[False]), median(took[True])
    print(f"{rule:24} {stock:12.2f} {other:14.2f} {stock / other:8.1f}", flush=True)
    return {"stock_ms": round(stock, 2), "rewritten_ms": round(other, 2), "times": round(stock / other, 1)}


def _compared(app: InProcess) -> dict[str, dict[str, float]]:
    """What the statements alone took, in the runs of both texts in the background."""
    rows = app.package.log().query("rewrites_in_use")
    return {
        "+".join(row["rules"]): {"stock_ms": round(row["stock_ms"], 2), "rewritten_ms": round(row["rewritten_ms"], 2),
                                 "times": round(row["stock_ms"] / row["rewritten_ms"], 1)}
        for row in rows if row["stock_ms"]
    }  # fmt: skip


def _wait_until_used(client: Any, dataset: int, query: dict[str, Any]) -> None:
    """Ask as people do until the other text answers."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        event = _asked(client, dataset, query)
        if " ".join(event.sent[0].split()) != " ".join(_formatted(event.sql).split()):
            return
        if time.monotonic() > end:
            raise SystemExit("superset_ext: the other text of a statement was not used in time")
        time.sleep(0.2)


def _formatted(sql: str) -> str:
    """A statement as Superset sends it."""
    from superset.sql.parse import SQLScript

    return str(SQLScript(sql, "postgresql").statements[0].format())


def _asked(client: Any, dataset: int, query: dict[str, Any]) -> Queried:
    """What the query log hears of a chart that is asked."""
    events: list[Queried] = []

    def hear(_sender: str, event: Queried) -> None:
        events.append(event)

    body = {
        "datasource": {"id": dataset, "type": "table"}, "force": True, "result_format": "json", "result_type": "full",
        "queries": [{"columns": [], "metrics": [_NUMBER, _TOTAL], "filters": [], "row_limit": 100, **query}],
    }  # fmt: skip
    with queried.connected_to(hear):
        answer = client.post("/api/v1/chart/data", json=body)
    assert answer.status_code == 200, answer.json
    (event,) = events
    return event


if __name__ == "__main__":
    main()
