"""Each number of each view equals one that is computed here from the raw rows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from math import ceil
from typing import Any

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.dashboards.bundle import assets
from superset_ext.monitor.rollup.views import refresh
from testing.rollups import (
    REASONS,
    SLOW_MS,
    Row,
    ago,
    cache_row,
    day_of,
    grouped,
    hour_of,
    insert,
    made,
    query_row,
    write,
)

NAMES = [
    ("dashboard", 5, "Sales"),
    ("chart", 3, "Revenue"),
    ("chart", 4, "Revenue"),
    ("dataset", 1, "orders"),
    ("database", 7, "Warehouse"),
]
CALLED = {(kind, number): name for kind, number, name in NAMES}
NONE = {"chart": "no chart (filter or API)", "dashboard": "no dashboard (Explore or API)"}
# Away from the bounds of each view, which move on while the test runs.
AGES = [timedelta(minutes=5), timedelta(hours=30), timedelta(days=4), timedelta(days=7), timedelta(days=20)]
OLD = timedelta(days=50)
DAYS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 19, 20, 21, 49, 50, 51)  # the partitions that these need, or will by midnight


def label(kind: str, number: int | None) -> str:
    return CALLED.get((kind, number), f"#{number}") if number else NONE.get(kind, f"no {kind}")


@pytest.fixture
def database(views_url: str) -> LogDatabase:
    return made(LogDatabase(views_url), DAYS)


def spread(seed: int, count: int, row: Callable[..., Row], **fixed: Any) -> list[Row]:
    rng = random.Random(seed)
    return [
        row(rng, ago() - rng.choice([*AGES, OLD]) - timedelta(minutes=rng.uniform(0, 200)), **fixed)
        for _ in range(count)
    ]


def quantile(times: Sequence[float], q: float = 0.95) -> float | None:
    return sorted(times)[max(ceil(q * len(times) - 1e-9) - 1, 0)] if times else None


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def all_of(group: Iterable[Row], name: str) -> list[float]:
    return [ms for row in group for ms in row[name]]


def total(group: Iterable[Row], name: str) -> Any:
    return sum(row[name] for row in group)


def people(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["channel"] != "warm"]


def younger(rows: Iterable[Row], **than: float) -> list[Row]:
    return [row for row in rows if row["created_at"] >= ago(**than)]


def view(database: LogDatabase, name: str, key: Sequence[str]) -> dict[Any, Row]:
    rows = database.rows(f"SELECT * FROM {name}")
    for row in rows:  # what they merge to is tested by itself
        for histogram in ("hit_histogram", "miss_histogram", "histogram"):
            row.pop(histogram, None)
    for row in rows:
        if "day" in row:
            assert row["day"].astimezone(UTC).time() == time.min
            row["day"] = row["day"].astimezone(UTC).date()
    by_key = {tuple(row.pop(column) for column in key): row for row in rows}
    assert len(by_key) == len(rows), f"{name} has two rows with the same key"
    return by_key


def equal(actual: Mapping[Any, Row], expected: Mapping[Any, Row], within_5_percent: Sequence[str] = ()) -> None:
    """The same keys, columns and numbers; what is read from a histogram within 5 %."""
    assert sorted(map(str, actual)) == sorted(map(str, expected))
    assert expected, "the test was to have rows here"
    for key, row in expected.items():
        assert sorted(actual[key]) == sorted(row)
        for column, value in row.items():
            got, tolerance = actual[key][column], 0.0501 if column in within_5_percent else 1e-9
            if isinstance(value, float):
                assert got == pytest.approx(value, rel=tolerance, abs=1e-12), (key, column)
            else:
                assert got == value, (key, column)


def cache_measures(every: Sequence[Row]) -> Row:
    group = people(every)
    hits, misses = total(group, "cache_hits"), total(group, "cache_misses")
    memory = [row["memory_usage"] for row in every if row["memory_usage"] is not None]
    return {
        "requests": hits + misses, "hits": hits, "misses": misses, "hit_ratio": ratio(hits, hits + misses),
        "stale_hits": total(group, "stale_hits"), "coalesced": total(group, "coalesced"),
        "saved_seconds": total(group, "saved_ms") / 1000 + 0.0,
        "hit_p95_ms": quantile(all_of(group, "_hit_times")), "miss_p95_ms": quantile(all_of(group, "_miss_times")),
        "response_ms": ratio(total(group, "response_ms_sum"), total(group, "response_count")),
        "evictions": total(every, "evictions"), "memory_mib": max(memory) / 2**20 if memory else None,
    }  # fmt: skip


def cost_measures(group: Sequence[Row]) -> Row:
    hits, misses = total(group, "cache_hits"), total(group, "cache_misses")
    return {
        "requests": hits + misses, "hits": hits, "misses": misses, "hit_ratio": ratio(hits, hits + misses),
        "saved_seconds": total(group, "saved_ms") / 1000 + 0.0,
        "spent_seconds": sum(all_of(group, "_miss_times")) / 1000 + 0.0,
        "miss_p95_ms": quantile(all_of(group, "_miss_times")),
    }  # fmt: skip


def grouped_by(
    rows: Iterable[Row], key: Callable[[Row], Any], measures: Callable[[Sequence[Row]], Row]
) -> dict[Any, Row]:
    return {name: measures(group) for name, group in grouped(rows, key).items()}


VIEWS_OF_CACHES = ("perf_cache_hour", "perf_cache_day")
HISTOGRAM = ("hit_p95_ms", "miss_p95_ms", "spent_seconds", "p95_ms")


def test_views_of_the_caches(database: LogDatabase, views_url: str) -> None:
    """Intent: hours, days, dashboards, charts, datasets and reasons say what the log says, warming's reads aside,
    under the names that Superset has, whatever day a row is of."""
    rows = spread(1, 500, cache_row)
    write(views_url, rows)
    homes = {1: 7, 2: 8, None: 7}
    asked = [query_row(random.Random(1), ago(hours=1), dataset_id=n, database_id=homes[n]) for n in homes]
    write(views_url, asked, "query_performance_log")
    assert [done.error for done in refresh(database, SLOW_MS, lambda: NAMES)] == [None] * 14
    recent = younger(rows, days=8)

    def board(row: Row) -> str:
        return label("dashboard", row["dashboard_id"])

    equal(
        view(database, "perf_cache_hour", ("hour", "cache_type", "dashboard")),
        grouped_by(recent, lambda row: (hour_of(row), row["cache_type"], board(row)), cache_measures),
        HISTOGRAM,
    )
    equal(
        view(database, "perf_cache_day", ("day", "cache_type", "dashboard")),
        grouped_by(rows, lambda row: (day_of(row), row["cache_type"], board(row)), cache_measures),
        HISTOGRAM,
    )
    charts = [row for row in people(rows) if row["cache_type"] == "chart_data"]
    equal(
        view(database, "perf_dashboard", ("day", "dashboard_id", "dashboard")),
        grouped_by(charts, lambda row: (day_of(row), row["dashboard_id"] or 0, board(row)), cost_measures),
        HISTOGRAM,
    )
    equal(
        view(database, "perf_chart", ("day", "chart_id", "chart", "dashboard", "dataset")),
        grouped_by(
            charts,
            lambda row: (
                day_of(row), row["chart_id"] or 0, label("chart", row["chart_id"]), board(row),
                label("dataset", row["dataset_id"]),
            ),
            cost_measures,
        ),
        HISTOGRAM,
    )  # fmt: skip
    by_dataset = grouped_by(
        charts,
        lambda row: (
            day_of(row), row["dataset_id"] or 0, label("dataset", row["dataset_id"]),
            label("database", homes[row["dataset_id"]] if row["dataset_id"] else None),
        ),
        cost_measures,
    )  # fmt: skip
    for row in by_dataset.values():
        del row["miss_p95_ms"]
    equal(view(database, "perf_dataset", ("day", "dataset_id", "dataset", "database")), by_dataset, HISTOGRAM)
    reasons = [
        row | {"reason": name.removeprefix("miss_"), "n": row[name]} for row in people(recent) for name in REASONS
    ]
    equal(
        view(database, "perf_miss_reason", ("hour", "cache_type", "dashboard", "reason")),
        grouped_by(
            (row for row in reasons if row["n"]),
            lambda row: (hour_of(row), row["cache_type"], board(row), row["reason"]),
            lambda group: {"misses": total(group, "n")},
        ),
    )


def test_views_of_the_queries(database: LogDatabase, views_url: str) -> None:
    """Intent: hours and statements say what the log of queries says, warming's queries included."""
    rows = spread(2, 400, query_row)
    write(views_url, rows, "query_performance_log")
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO superset_ext.query_fingerprint (fingerprint, sql) VALUES ('f1', %s)", ("SELECT ?" * 100,)
        )
    refresh(database, SLOW_MS, lambda: NAMES)

    def hourly(group: Sequence[Row]) -> Row:
        times = [row["duration_ms"] for row in group]
        return {
            "runs": len(group), "errors": sum(row["error"] is not None for row in group),
            "slow": sum(ms >= SLOW_MS for ms in times), "rows": sum(row["rows"] or 0 for row in group),
            "mean_ms": sum(times) / len(times), "p95_ms": quantile(times), "max_ms": max(times),
        }  # fmt: skip

    def daily(group: Sequence[Row]) -> Row:
        return {name: value for name, value in hourly(group).items() if name not in ("slow", "rows")} | {
            "chart_id": max(row["chart_id"] or 0 for row in group),
            "sql": ("SELECT ?" * 100)[:300] if group[0]["fingerprint"] == "f1" else None,
            "total_seconds": total(group, "duration_ms") / 1000, "has_plan": False,
        }  # fmt: skip

    equal(
        view(database, "perf_query_hour", ("hour", "source", "database", "dataset", "dashboard")),
        grouped_by(
            younger(rows, days=8),
            lambda row: (
                hour_of(row), row["source"], label("database", row["database_id"]),
                label("dataset", row["dataset_id"]), label("dashboard", row["dashboard_id"]),
            ),
            hourly,
        ),
        HISTOGRAM,
    )  # fmt: skip
    equal(
        view(database, "perf_slow_query", ("day", "fingerprint", "database", "dataset", "chart", "dashboard")),
        grouped_by(
            younger(rows, days=30),
            lambda row: (
                day_of(row), row["fingerprint"] or "", label("database", row["database_id"]),
                label("dataset", row["dataset_id"]), label("chart", row["chart_id"]),
                label("dashboard", row["dashboard_id"]),
            ),
            daily,
        ),
        HISTOGRAM,
    )  # fmt: skip


def test_a_percentile_over_rows_is_of_all_their_times(database: LogDatabase, views_url: str) -> None:
    """Intent: what a chart says of a day is the p95 of all times of the day, and no mean of the p95 of its rows, which
    may lie under the mean of the times."""
    rng = random.Random(7)
    times = [5.0] * 90 + [4000.0] * 10
    rows = [query_row(rng, ago(days=2), duration_ms=ms, dashboard_id=n) for n, ms in enumerate(times, 1)]
    write(views_url, rows, "query_performance_log")
    reads = [cache_row(rng, ago(days=2), dashboard_id=n, channel="web", hit_times=[ms], miss_times=[ms])
             for n, ms in enumerate(times, 1)]  # fmt: skip
    write(views_url, reads)
    refresh(database, SLOW_MS)
    metrics = {
        asset.name: {metric["metric_name"]: metric["expression"] for metric in asset.config["metrics"]}
        for asset in assets()
        if asset.kind == "dataset"
    }
    asked = [("perf_query_hour", "perf_query_hour", "p95")]
    asked += [(view, "perf_cache", name) for view in VIEWS_OF_CACHES for name in ("hit_p95", "miss_p95")]
    for view_name, dataset, metric in asked:
        (row,) = database.rows(f"SELECT {metrics[dataset][metric]} AS p95 FROM {view_name}")
        assert row["p95"] == pytest.approx(quantile(times), rel=0.0501), (view_name, metric)


def test_the_start_of_a_listener_is_no_change(database: LogDatabase) -> None:
    """Intent: a restart drops what may have been missed; people see that, and do not take it for a commit."""
    with database.transaction() as cursor:
        for precaution in (True, True, False):
            cursor.execute(
                "INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tables, tags,"
                " precaution) VALUES (now(), 'postgresql', 'data_update', '{7:s.t}', '{t}', %s)",
                (precaution,),
            )
    refresh(database, SLOW_MS, lambda: NAMES)
    (changes,) = [
        metric["expression"]
        for asset in assets()
        if asset.name == "perf_invalidation"
        for metric in asset.config["metrics"]
        if metric["metric_name"] == "changes"
    ]
    assert database.rows(f"SELECT source, {changes} AS n FROM perf_invalidation GROUP BY 1 ORDER BY 1") == [
        {"source": "listener, to be safe", "n": 0}, {"source": "postgresql", "n": 1}
    ]  # fmt: skip


def test_slow_queries_are_the_200_that_cost_most_of_a_day(database: LogDatabase, views_url: str) -> None:
    """Intent: people may write any number of statements; the view stays small, with those that matter."""
    rng, now = random.Random(3), ago()
    rows = [
        query_row(rng, now - days, fingerprint=f"q{n}", duration_ms=1.0 + n, chart_id=None, dashboard_id=None)
        for days in (timedelta(days=4), timedelta(days=5))
        for n in rng.sample(range(230), 230)
    ]
    write(views_url, rows, "query_performance_log")
    refresh(database, SLOW_MS)
    days = database.rows("SELECT day, count(*) AS n, min(mean_ms) AS least FROM perf_slow_query GROUP BY day")
    assert [(row["n"], row["least"]) for row in days] == [(200, 31.0)] * 2


def test_view_of_warming(database: LogDatabase) -> None:
    """Intent: what a run did and what became of it, of the last 30 days."""
    run, old = uuid.uuid4(), uuid.uuid4()
    insert_run = (
        "INSERT INTO superset_ext.cache_warm_run (run_id, schedule, options, options_hash, requested_by, state,"
        " created_at, started_at, fresh, entries, entries_read, spent_ms, saved_ms)"
        " VALUES (%s, %s, '{}', %s, 'beat', 'done', %s, %s, 4, 8, 2, 4000, 1000)"
    )
    started = ago(days=3)
    with database.transaction() as cursor:
        cursor.execute(insert_run, (str(run), "nightly", "a", started, started))
        cursor.execute(insert_run, (str(old), "nightly", "b", ago(days=40), ago(days=40)))
        for ordinal, state in enumerate(["warmed", "warmed", "warmed", "fresh", "failed", "queued"]):
            cursor.execute(
                "INSERT INTO superset_ext.cache_warm_item (run_id, ordinal, action, identity, state)"
                " VALUES (%s, %s, 'replay', 'user:1', %s)",
                (str(run), ordinal, state),
            )
    refresh(database, SLOW_MS)
    [row] = database.rows("SELECT * FROM perf_warming")
    assert str(row.pop("run_id")) == str(run)
    assert row == {
        "schedule": "nightly", "started_at": started, "state": "done", "items": 6, "warmed": 3,
        "fresh": 5, "failed": 1, "entries": 8, "entries_read": 2, "read_ratio": 0.25, "spent_seconds": 4.0,
        "saved_seconds": 1.0, "wasted_seconds": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize("age", [timedelta(hours=2), timedelta(days=6)])
def test_view_of_invalidations(database: LogDatabase, views_url: str, age: timedelta) -> None:
    """Intent: before and after are the 15 minutes around the change, of the datasets that read what changed,
    warming and other regions aside."""
    change = (ago() - age).replace(second=30)
    rng = random.Random(4)
    rows = [
        cache_row(rng, change.replace(second=15) + timedelta(minutes=n), dataset_id=rng.choice([1, 2, 9]))
        for n in range(-40, 40)
        for _ in range(8)
    ]
    write(views_url, rows)
    with database.transaction() as cursor:
        for fingerprint, dataset, tag in (("a", 1, "t:1:sales"), ("b", 2, "t:1:sales@data_update"), ("c", 9, "t:1:x")):
            cursor.execute(
                "INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, is_form, replayable,"
                " dataset_id, queries, uses, used_at, hours, first_seen, last_seen, tags)"
                " VALUES (%s, 'data', '', '', false, true, %s, 1, 1, now(), '{}', now(), now(), %s)",
                (fingerprint, dataset, [tag]),
            )
        cursor.execute(
            "INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tables, tags, seconds,"
            " entries_affected, rewarmed)"
            " VALUES (%s, 'webhook', 'data_update', '{7:public.sales,1:public.x2}', '{t:1:sales}', 0.5, 12, 3)",
            (change,),
        )
    refresh(database, SLOW_MS, lambda: NAMES)
    asked = [row for row in people(rows) if row["cache_type"] == "chart_data" and row["dataset_id"] in (1, 2)]
    minute = change.replace(second=0, microsecond=0)
    quarter = timedelta(minutes=15)
    before = [row for row in asked if minute - quarter <= row["created_at"] < minute]
    after = [row for row in asked if minute <= row["created_at"] < minute + quarter]
    expected: Row = {
        "created_at": change, "source": "webhook", "operation": "data_update",
        "tables": "#1: public.x2, Warehouse: public.sales", "seconds": 0.5, "entries_affected": 12,
        "entries_exact": False, "rewarmed": 3, "precaution": False,
    }  # fmt: skip
    for name, group in (("before", before), ("after", after)):
        measures = cache_measures(group)
        expected |= {f"hit_ratio_{name}": measures["hit_ratio"], f"response_ms_{name}": measures["response_ms"]}
    equal(view(database, "perf_invalidation", ("id",)), {(1,): expected})


@pytest.mark.parametrize(
    ("tables", "tags", "name"),
    [
        ([], ["any", "dataset:1", "chart:3"], "chart Revenue, dataset orders"),
        ([], ["any", "database:99"], "database #99"),
        ([], ["all"], "everything"),
        ([], ["any", *(f"dataset:{n}" for n in range(1, 6))], "dataset #2, dataset #3, dataset #4 and 2 more"),
        (["7:a", "7:s.b"], ["any", "dataset:1"], "Warehouse: a, Warehouse: s.b"),
        ([f"7:s.t{n}" for n in range(12)], [], "Warehouse: s.t0, Warehouse: s.t1, Warehouse: s.t10 and 9 more"),
        (
            ["no number", "99999999999:x"],
            ["dataset:99999999999", "dataset:", ":", "t:7:dataset:1"],
            "99999999999:x, no number",
        ),
    ],
)
def test_what_a_change_is_called(database: LogDatabase, tables: list[str], tags: list[str], name: str) -> None:
    """Intent: a person reads what changed, of an edit in Superset too, and no number of a database."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tables, tags)"
            " VALUES (now(), 'superset', 'user_action', %s, %s)",
            (tables, tags),
        )
    refresh(database, SLOW_MS, lambda: NAMES)
    assert database.rows("SELECT tables FROM perf_invalidation") == [{"tables": name}]


def test_view_of_memory(database: LogDatabase) -> None:
    """Intent: the highest of each five minutes, by region, with what is an estimate named so."""
    rng = random.Random(5)
    samples: list[Row] = []
    for n in range(30):
        at = (ago() - rng.choice(AGES[:4])).replace(microsecond=n)
        samples.append(
            {
                "created_at": at, "at": at, "region": rng.choice(["chart_data", "metadata"]), "server": "s:1",
                "shared": rng.random() < 0.5, "memory_estimated": rng.randrange(10**9), "entries": rng.randrange(99),
                "evictions": rng.randrange(9), "fragmentation": rng.uniform(1, 2), "connections": rng.randrange(9),
                "hit_p50": rng.uniform(0, 1), "hit_p95": rng.uniform(1, 2), "hit_p99": rng.uniform(2, 3),
            }
        )  # fmt: skip
    with database.transaction() as cursor:
        insert(cursor, [{k: v for k, v in s.items() if k != "created_at"} for s in samples], "cache_sample")
    refresh(database, SLOW_MS)

    def five(row: Row) -> tuple[datetime, str]:
        seconds = row["at"].timestamp()
        return datetime.fromtimestamp(seconds - seconds % 300, UTC), row["region"]

    def highest(group: Sequence[Row]) -> Row:
        def top(name: str) -> Any:
            return max(row[name] for row in group)

        return {
            "memory_mib": top("memory_estimated") / 2**20, "entries": top("entries"),
            "evictions": total(group, "evictions"), "fragmentation": top("fragmentation"),
            "hit_p50_ms": top("hit_p50"), "hit_p95_ms": top("hit_p95"), "hit_p99_ms": top("hit_p99"),
            "connections": top("connections"), "is_estimated": any(row["shared"] for row in group),
        }  # fmt: skip

    equal(view(database, "perf_memory", ("at", "region")), grouped_by(samples, five, highest))


def test_view_of_alerts(database: LogDatabase) -> None:
    """Intent: alerts of the last 30 days, and those that last however long."""
    fired = ago(days=2)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO superset_ext.performance_alert_rule (name, metric_type, threshold_value, comparison_operator,"
            " window_minutes, severity) VALUES ('Hit ratio', 'hit_ratio', 0.7, '<', 60, 'warning') RETURNING id"
        )
        rule = cursor.fetchone()[0]
        for subject, at, ended in (
            ("chart_data", fired, None),
            ("old", ago(days=60), ago(days=59)),
            ("lasting", ago(days=60), None),
        ):
            cursor.execute(
                "INSERT INTO superset_ext.performance_alert (rule_id, subject, fired_at, resolved_at, value, message)"
                " VALUES (%s, %s, %s, %s, 0.4, 'low')",
                (rule, subject, at, ended),
            )
    refresh(database, SLOW_MS)
    alerts = view(database, "perf_alert", ("subject",))
    assert sorted(alerts) == [("chart_data",), ("lasting",)]
    assert alerts[("chart_data",)] == {
        "id": 1, "name": "Hit ratio", "severity": "warning", "fired_at": fired, "resolved_at": None, "value": 0.4,
        "threshold": 0.7, "message": "low", "confidence": None,
    }  # fmt: skip
