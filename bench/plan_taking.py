"""What taking the plans of slow statements costs: the request that asks, and the source.

Charts that are slow on a table of 2 million rows, or of what `BENCH_ROWS` says, each asked once: a statement's plan is
taken once a day, so one that is asked once costs the source most beside its own time. The source writes down how long
each statement took it. On the path of a request there is only one call, which is timed by itself. `python -m bench
plan_taking` prints a table and JSON.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Queried, queried
from superset_ext.plans.taking import PlanTaker
from testing.databases import postgres_in
from testing.in_process import InProcess, start, stop

ROWS = int(os.environ.get("BENCH_ROWS", 2_000_000))
CHARTS = 8
CALLS = 2_000
PATIENCE_SECONDS = 120.0
_TABLE = f"""
CREATE TABLE sales AS SELECT i AS id, i % 1000 AS shop, date '2015-01-01' + (i::bigint * 7919 % 4018)::int AS day,
    'customer ' || i::bigint * 7907 % 100003 AS name, (i % 977)::numeric(10, 2) AS price
FROM generate_series(1, {ROWS}) AS i;
ANALYZE sales;
ALTER DATABASE source SET log_min_duration_statement = 0
"""
_VIRTUAL = "SELECT shop, price, name FROM sales ORDER BY name, day"
_LINE = re.compile(r"^source\|LOG:  duration: ([0-9.]+) ms  (?:statement|execute [^:]*|parse [^:]*|bind [^:]*): (.*)")
_CHART = "AS virtual_table"
# How what we send begins: the files of `sql/queries`, which begin with a comment, plans, and limits of a transaction.
_TAKING = re.compile(
    r"--|EXPLAIN|SET TRANSACTION READ ONLY|SELECT set_config|SELECT count\(\*\) FROM pg_stat_activity", re.IGNORECASE
)


def main() -> None:
    """Ask the charts, and say what that cost."""
    with _app() as (app, postgres, dataset):
        begin = _log(postgres).stat().st_size
        heard = _asked(app, dataset)
        _wait_for(app, len(heard))
        chart_ms, taking_ms, statements = _logged(postgres, begin)
        path = _path_us(heard[0])
    share = taking_ms / chart_ms
    print(f"{len(heard)} slow statements, each asked once: the source took {chart_ms:,.0f} ms for them, and")
    print(f"{taking_ms:,.1f} ms for the {statements} that taking their plans sent: {share:.2%} of that")
    print(f"on the request's path: {path['slow']:.1f} µs of a slow query, {path['quick']:.2f} of another one")
    print(json.dumps({"plan_taking": {
        "rows": ROWS, "statements": len(heard), "chart_ms": round(chart_ms, 1), "taking_ms": round(taking_ms, 1),
        "share": round(share, 5), "path_us": {name: round(value, 2) for name, value in path.items()},
    }}))  # fmt: skip


@contextmanager
def _app() -> Iterator[tuple[InProcess, Postgres, int]]:
    """Superset in this process, its source, and a virtual dataset there."""
    settings = {"log_line_prefix": "%d|", "log_min_duration_statement": "-1"}
    with tempfile.TemporaryDirectory() as folder, postgres_in(Path(folder) / "postgres", **settings) as postgres:
        valkey = Valkey(Path(folder) / "valkey").start()
        url = postgres.create_database("source")
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in _TABLE.split(";"):
                cursor.execute(statement)
        app = start(postgres.create_database("meta"), valkey.url, Path(folder))
        try:
            with app.awake():
                with app.app.app_context():
                    dataset = _dataset(url)
                yield app, postgres, dataset
        finally:
            stop(app)
            valkey.stop()


def _dataset(url: str) -> int:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    database = Database(database_name="sales")
    database.set_sqlalchemy_uri(url)
    dataset = SqlaTable(table_name="sorted sales", sql=_VIRTUAL, database=database, schema="public")
    db.session.add_all([database, dataset])
    db.session.flush()
    dataset.fetch_metadata()
    db.session.commit()
    return int(dataset.id)


def _asked(app: InProcess, dataset: int) -> list[Queried]:
    """What the query log hears of charts that ask different statements."""
    heard: list[Queried] = []

    def hear(_sender: str, event: Queried) -> None:
        heard.append(event)

    client = app.client()
    with queried.connected_to(hear):
        for number in range(CHARTS):
            metrics = [_metric("SUM(price)", "total"), *(_metric("COUNT(*)", f"n{n}") for n in range(number))]
            body = {
                "datasource": {"id": dataset, "type": "table"}, "force": True, "result_format": "json",
                "result_type": "full",
                "queries": [{"columns": ["shop"], "metrics": metrics, "filters": [], "row_limit": 100}],
            }  # fmt: skip
            answer = client.post("/api/v1/chart/data", json=body)
            assert answer.status_code == 200, answer.json
    slow = [event for event in heard if event.ms >= app.package.settings.slow_query_ms]
    assert len(slow) == CHARTS, f"not slow enough, ask for more BENCH_ROWS: {[round(event.ms) for event in heard]} ms"
    return slow


def _metric(sql: str, label: str) -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


def _wait_for(app: InProcess, plans: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while app.rows("SELECT count(*) FROM superset_ext.query_plan")[0][0] < plans:
        assert time.monotonic() < end, "the plans were not taken in time"
        time.sleep(0.2)


def _log(postgres: Postgres) -> Path:
    return postgres.data_dir.with_name(postgres.data_dir.name + ".log")


def _logged(postgres: Postgres, begin: int) -> tuple[float, float, int]:
    """What the source has written down since: milliseconds of the charts' statements and of those that took their
    plans, and how many these are. What Superset sends to set up a connection is neither."""
    chart = taking = 0.0
    statements = 0
    text = _log(postgres).read_bytes()[begin:].decode()
    # A statement of several lines is written as it is; what follows its first line begins with a tab.
    for match in filter(None, map(_LINE.match, text.replace("\n\t", " ").splitlines())):
        if _TAKING.match(match[2]):
            taking, statements = taking + float(match[1]), statements + 1
        elif _CHART in match[2]:
            chart += float(match[1])
    return chart, taking, statements


def _path_us(event: Queried) -> dict[str, float]:
    """Microseconds of the one call that a request makes, for a slow query and for another one."""
    from superset_ext.settings import load

    own = {"SUPERSET_EXT_REDIS_URL": "redis://none:6379", "SUPERSET_EXT_DATABASE_URL": "postgresql://none/none"}
    events = {"slow": event, "quick": replace(event, ms=1.0)}
    return {name: _timed(PlanTaker(None, None, lambda: None, load(own)), one) for name, one in events.items()}  # type: ignore[arg-type]


def _timed(taker: PlanTaker, event: Any) -> float:
    times = []
    for _ in range(CALLS):
        taker.reset()  # nothing waits
        began = time.perf_counter()
        taker._hear("", event)
        times.append(time.perf_counter() - began)
    return median(times) * 1e6


if __name__ == "__main__":
    main()
