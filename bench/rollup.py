"""What a cycle of roll-up and refresh costs with 2 and 20 million raw rows, and how fast the dashboards' queries are.

Run with `python -m bench.rollup [small] [large]`; it starts a PostgreSQL of its own. The rows are of the same 30 days,
charts and dashboards, and each cycle comes after one new minute of the same rows; a year of daily rollups lies below.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.monitor.rollup.views import apply_views, refresh

SIZES = (2_000_000, 20_000_000)
DAYS, CHARTS, DASHBOARDS, DATASETS = 30, 200, 20, 40
MINUTE = 600  # rows of a new minute
SLOW_MS = 1000.0
ROUNDS = 7
PARTITION = """
SELECT superset_ext.create_day_partition(log, superset_ext.utc_today() - %(day)s)
FROM unnest(ARRAY['cache_performance_log', 'query_performance_log']) AS log
"""
# Each chart in two regions in each hour; four fifths of the rows are hits.
CACHE = f"""
INSERT INTO superset_ext.cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type, dataset_id,
    chart_id, dashboard_id, channel, cache_hits, cache_misses, miss_cold, sets, bytes_read, response_count,
    response_ms_sum, hit_histogram, miss_histogram, saved_ms, memory_usage)
SELECT %(start)s::timestamptz + %(seconds)s * n / %(rows)s * interval '1 second', 5, 'bench', 1,
    '00000000-0000-0000-0000-000000000000', CASE WHEN n %% 3 = 0 THEN 'metadata' ELSE 'chart_data' END,
    chart %% {DATASETS} + 1, chart + 1, chart %% {DASHBOARDS} + 1, 'web', hit * 3, 1 - hit, 1 - hit, 1 - hit, 50000,
    2 * hit + 1, 3 + 800 * (1 - hit), CASE WHEN hit = 1 THEN ARRAY[50 + n %% 8, 2, 60 + n %% 5, 1] END,
    CASE WHEN hit = 0 THEN ARRAY[110 + n %% 20, 1] END, 900 * hit, 500000000 + n %% 1000
FROM (
    SELECT n, n / 3 %% {CHARTS} AS chart, CASE WHEN n %% 5 = 0 THEN 0 ELSE 1 END AS hit
    FROM generate_series(0, %(rows)s - 1) AS n
) AS raw
"""
QUERY = f"""
INSERT INTO superset_ext.query_performance_log (created_at, host, pid, source, channel, database_id, dataset_id,
    chart_id, dashboard_id, fingerprint, duration_ms, rows)
SELECT %(start)s::timestamptz + %(seconds)s * n / %(rows)s * interval '1 second', 'bench', 1, 'chart', 'web',
    chart %% 3 + 1, chart %% {DATASETS} + 1, chart + 1, chart %% {DASHBOARDS} + 1, md5(chart::text), 20 + n %% 3000, 100
FROM (SELECT n, n %% {CHARTS} AS chart FROM generate_series(0, %(rows)s - 1) AS n) AS raw
"""
# Eleven months more, as the rollups of thirteen have them.
YEAR = """
INSERT INTO superset_ext.{table}
SELECT (jsonb_populate_record(known, jsonb_build_object('day', known.day - 31 * n))).*
FROM superset_ext.{table} AS known CROSS JOIN generate_series(1, 11) AS n
"""
REST = f"""
INSERT INTO superset_ext.cache_sample (at, region, server, server_memory, memory_estimated, entries, hit_p95)
SELECT at, region, 's:6379', 1e8, 1e7, 1000, 2
FROM generate_series(now() - interval '{DAYS} days', now(), interval '1 minute') AS at
CROSS JOIN unnest(ARRAY['metadata', 'chart_data', 'query_results', 'filter_state', 'explore_form_data', 'thumbnails'])
    AS region;
INSERT INTO superset_ext.query_fingerprint (fingerprint, sql)
SELECT md5(n::text), repeat('SELECT ? ', 60) FROM generate_series(0, {CHARTS - 1}) AS n;
INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, is_form, replayable, dataset_id, database_id,
    queries, uses, used_at, hours, first_seen, last_seen, tags)
SELECT n, 'data', '', '', false, true, n %% {DATASETS} + 1, n %% 3 + 1, 1, 1, now(), '{{}}', now(), now(),
    ARRAY['t:1:table' || n %% {DATASETS}]
FROM generate_series(1, 5000) AS n;
INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tags, tables)
SELECT at, 'probe', 'data_update', ARRAY['t:1:table' || ordinal %% {DATASETS}], ARRAY['1:public.t']
FROM generate_series(now() - interval '{DAYS} days', now(), interval '10 minutes') WITH ORDINALITY AS t (at, ordinal);
"""
WEEK = "day >= now() - interval '7 days'"
SUMS = "sum(requests), sum(hits)::float8 / nullif(sum(requests), 0), sum(saved_seconds)"
COST = f"{SUMS}, sum(spent_seconds) AS spent"
# What charts ask: a line by time, a table of those that cost most, over all that a view has.
QUERIES = {
    "cache_hour, by cache": f"SELECT hour, cache_type, {SUMS}, max(hit_p95_ms) FROM perf_cache_hour GROUP BY 1, 2",
    "cache_hour, one dashboard": f"SELECT hour, {SUMS} FROM perf_cache_hour WHERE dashboard = '#3' GROUP BY 1",
    "cache_day, by cache": f"SELECT day, cache_type, {SUMS}, max(miss_p95_ms) FROM perf_cache_day GROUP BY 1, 2",
    "dashboard, costliest": f"SELECT dashboard, {COST} FROM perf_dashboard GROUP BY 1 ORDER BY spent DESC LIMIT 10",
    "chart, costliest of a year": f"SELECT chart, dashboard, {COST} FROM perf_chart GROUP BY 1, 2 ORDER BY spent DESC",
    "chart, costliest of a week": f"SELECT chart, {COST} FROM perf_chart WHERE {WEEK} GROUP BY 1 ORDER BY spent DESC",
    "dataset, all": f"SELECT dataset, database, {COST} FROM perf_dataset GROUP BY 1, 2 ORDER BY spent DESC",
    "miss_reason, by hour": "SELECT hour, reason, sum(misses) FROM perf_miss_reason GROUP BY 1, 2",
    "warming, all": "SELECT * FROM perf_warming ORDER BY started_at DESC",
    "invalidation, last 100": "SELECT * FROM perf_invalidation ORDER BY created_at DESC LIMIT 100",
    "invalidation, by source": "SELECT source, count(*), avg(hit_ratio_after) FROM perf_invalidation GROUP BY 1",
    "query_hour, by database": "SELECT hour, database, sum(runs), max(p95_ms) FROM perf_query_hour GROUP BY 1, 2",
    "slow_query, costliest": "SELECT sql, chart, sum(total_seconds) FROM perf_slow_query GROUP BY 1, 2 ORDER BY 3 DESC",
    "memory, by region": "SELECT at, region, max(memory_mib), max(hit_p95_ms) FROM perf_memory GROUP BY 1, 2",
    "alert, all": "SELECT * FROM perf_alert ORDER BY fired_at DESC",
    "refresh, all": "SELECT * FROM perf_refresh",
}


def fill(database: LogDatabase, rows: int) -> None:
    """As many raw rows, evenly over the days before now, and a tenth as many queries."""
    for day in range(DAYS + 1):
        database.rows(PARTITION, {"day": day})
    [now] = database.rows("SELECT extract(epoch FROM now())::float8 AS at")
    for day in range(DAYS):
        with database.transaction(600.0) as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            for sql, part in ((CACHE, rows // DAYS), (QUERY, rows // DAYS // 10)):
                start = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(now["at"] - 86400 * (day + 1)))
                cursor.execute(sql, {"start": start, "seconds": 86400.0, "rows": part})
    with database.transaction(600.0) as cursor:
        cursor.execute(REST, {})


def new_minute(database: LogDatabase) -> None:
    """Rows of one more minute, the same of every size."""
    with database.transaction(60.0) as cursor:
        for sql, part in ((CACHE, MINUTE), (QUERY, MINUTE // 10)):
            start = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(time.time() - 60))
            cursor.execute(sql, {"start": start, "seconds": 60.0, "rows": part})


def timed(work: Callable[[], Any]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def asked(database: LogDatabase, sql: str) -> float:
    """Milliseconds of a query, the median of five."""
    return round(1000 * statistics.median(timed(lambda: database.rows(sql)) for _ in range(5)), 1)


def cycle(database: LogDatabase) -> dict[str, float]:
    """Seconds of each step of one cycle after one new minute, and of all of them."""
    new_minute(database)
    started = time.perf_counter()
    done = refresh(database, SLOW_MS)
    seconds = time.perf_counter() - started
    for view in done:
        if view.error:
            raise RuntimeError(f"{view.view}: {view.error}")
    return {"all": seconds} | {view.view: view.seconds for view in done}


def measured(database: LogDatabase, rows: int) -> dict[str, Any]:
    """One size: seconds to roll up and refresh all, the median cycle after, and each query's milliseconds."""
    database.apply_schema()
    filled = timed(lambda: fill(database, rows))
    first = timed(lambda: apply_views(database)) + timed(lambda: refresh(database, SLOW_MS))
    with database.transaction(600.0) as cursor:
        for table in ("cache_daily", "query_daily"):
            cursor.execute(YEAR.format(table=table))
        cursor.execute("UPDATE superset_ext.view_refresh SET past_version = NULL")
    past = timed(lambda: refresh(database, SLOW_MS))
    with database.transaction(600.0) as cursor:  # as autovacuum does in time
        cursor.execute("ANALYZE")
    cycles = [cycle(database) for _ in range(ROUNDS)]
    steps = {step: statistics.median(times[step] for times in cycles) for step in cycles[0]}
    return {
        "rows": rows, "fill_s": round(filled, 1), "first_s": round(first, 1), "new_day_s": round(past, 2),
        "cycle_s": round(steps.pop("all"), 3), "steps_s": {name: round(s, 3) for name, s in steps.items()},
        "queries_ms": {name: asked(database, sql) for name, sql in QUERIES.items()},
    }  # fmt: skip


def run(sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Each size in a database of its own, and the ratio of the cycles of the last to the first."""
    sizes_measured = []
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "pg").start()
        try:
            for rows in sizes:
                database = LogDatabase(postgres.create_database(f"rollup_{rows}"))
                sizes_measured.append(measured(database, rows))
                database.close()
        finally:
            postgres.stop()
    ratio = sizes_measured[-1]["cycle_s"] / sizes_measured[0]["cycle_s"]
    slowest = max((ms, name) for size in sizes_measured for name, ms in size["queries_ms"].items())
    return {"sizes": sizes_measured, "ratio": round(ratio, 2), "slowest_query": slowest[1], "slowest_ms": slowest[0]}


def main() -> None:
    """Print the tables and the JSON."""
    result = run(tuple(int(size) for size in sys.argv[1:3]) or SIZES)
    print(f"{'raw rows':>12} {'filled':>9} {'first':>11} {'new day':>9} {'cycle':>9}")
    for size in result["sizes"]:
        print(f"{size['rows']:>12,} {size['fill_s']:>7} s {size['first_s']:>9} s {size['new_day_s']:>7} s "
              f"{size['cycle_s']:>7} s")  # fmt: skip
    print(f"ratio of the cycles {result['ratio']} (goal at most 1.3)\n")
    for name, of in (("step", "steps_s"), ("query", "queries_ms")):
        print(f"{name:<34}" + "".join(f"{size['rows']:>14,}" for size in result["sizes"]))
        for key in result["sizes"][0][of]:
            print(f"{key:<34}" + "".join(f"{size[of][key]:>11} {of.rpartition('_')[2]:<2}" for size in result["sizes"]))
        print()
    print(f"slowest query: {result['slowest_query']}, {result['slowest_ms']} ms (goal 300 ms)")
    print(json.dumps({"rollup": result}))


if __name__ == "__main__":
    main()
