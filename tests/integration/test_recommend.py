"""Recommendations on a real log: each appears for rows that speak for it, and for no others."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.advice import kept
from superset_ext.monitor.advice.recommend import Facts, Recommendation, facts_of, recommend
from superset_ext.monitor.rollup.views import apply_views, refresh
from superset_ext.settings import Region, Settings, load
from testing.regions import make_region

TAGS = ["all", "dataset:7", "table:1:public.orders"]
MEBI = 2**20
Row = dict[str, Any]


@pytest.fixture
def database(log_url: str) -> LogDatabase:
    made = LogDatabase(log_url)
    with made.transaction() as cursor:
        for table in ("cache_performance_log", "query_performance_log"):
            for ahead in range(-3, 2):
                cursor.execute(
                    "SELECT superset_ext.create_day_partition(%s, superset_ext.utc_today() + %s)", (table, ahead)
                )
    return made


def insert(database: LogDatabase, table: str, **values: Any) -> None:
    """A row; `ago` is a time before now, under the name of the column that `at` says."""
    at, ago = values.pop("at", "created_at"), values.pop("ago", None)
    names, marks = list(values), ["%s"] * len(values)
    if ago is not None:
        names, marks = [*names, at], [*marks, "now() - %s"]
    row = [*values.values(), *([ago] if ago is not None else [])]
    with database.transaction() as cursor:
        cursor.execute(f"INSERT INTO superset_ext.{table} ({', '.join(names)}) VALUES ({', '.join(marks)})", row)


def asked(database: LogDatabase, hits: int = 0, **values: Any) -> None:
    """Requests of an hour ago; each hit saved two seconds, and each miss took two."""
    misses = sum(number for name, number in values.items() if name.startswith("miss_"))
    row = {
        "cache_type": "chart_data", "dataset_id": 7, "chart_id": 70, "dashboard_id": 700, "channel": "web",
        "cache_hits": hits, "cache_misses": misses, "saved_ms": hits * 2000.0, "response_count": hits + misses,
        "response_ms_sum": misses * 2000.0 + hits, "ago": timedelta(hours=1),
    }  # fmt: skip
    insert(database, "cache_performance_log", window_seconds=5, host="h", pid=1,
           batch="00000000-0000-0000-0000-000000000000", **(row | values))  # fmt: skip


def registered(database: LogDatabase, tags: list[str] = TAGS, body: str = "{}", keys: int = 0) -> None:
    insert(
        database, "cache_request", fingerprint="f", kind="data", path="/", args="", body=body, is_form=False,
        replayable=True, dashboard_id=700, chart_id=70, dataset_id=7, database_id=1, queries=1, uses=1, hours=[],
        first_seen="now", last_seen="now", used_at="now", tags=tags, cost_ms=2000,
    )  # fmt: skip
    if keys:
        insert(
            database, "cache_access_scope", fingerprint="f", access_scope="s", identity="user:1", uses=1, used_at="now",
            cache_keys=[f"k{number}" for number in range(keys)],
        )  # fmt: skip


def tell(database: LogDatabase, source: str = "webhook", times: int = 4, tag: str = TAGS[-1]) -> None:
    for day in range(times):
        insert(database, "cache_invalidation_log", source=source, operation="data_update", tags=["any", tag],
               ago=timedelta(days=day, hours=2))  # fmt: skip


def findings_of(
    database: LogDatabase, kind: str, settings: Settings | None = None, facts: Facts | None = None
) -> list[Recommendation]:
    every = recommend(None, database, settings or load({}), facts or Facts())
    assert [advice.seconds for advice in every] == sorted((advice.seconds for advice in every), reverse=True)
    return [advice for advice in every if advice.kind == kind]


def only(database: LogDatabase, kind: str, **more: Any) -> Recommendation:
    """The one of this kind; its evidence runs in psql as it stands, and holds its numbers."""
    (advice,) = findings_of(database, kind, **more)
    rows = database.rows(advice.sql)
    shared = {name: value for name, value in advice.numbers.items() if rows and name in rows[0]}
    assert any(all(row[name] == value for name, value in shared.items()) for row in rows)
    assert json.loads(json.dumps(advice.as_dict()))["evidence"]["sql"] == advice.sql
    return advice


def test_an_empty_log_says_nothing(database: LogDatabase) -> None:
    """Intent: who has just begun is not told what to change."""
    assert recommend(None, database, load({}), Facts()) == []


def expiring(database: LogDatabase) -> None:
    asked(database, hits=400, miss_expired=300)
    registered(database)


def test_a_longer_timeout_where_changes_are_told(database: LogDatabase) -> None:
    """Intent: what expires more often than it changes is to live for about three changes, by a rule that is valid."""
    expiring(database)
    tell(database)
    advice = only(database, "timeout")
    assert advice.subject == "dataset:7"
    assert advice.numbers["changes_in_7_days"] == 4
    assert 0 < advice.seconds <= 600  # no more than went into what had expired
    rule = advice.set_.partition(": ")[2]
    (parsed,) = load({"SUPERSET_EXT_RULES": f"[{rule}]"}).rules
    assert parsed.timeout is not None
    assert 900 < parsed.timeout <= 86_400


def test_a_timeout_follows_how_often_data_changes(database: LogDatabase) -> None:
    """Intent: data that changes every quarter of an hour gains nothing by a day."""
    expiring(database)
    for minutes in range(15, 60 * 24, 15):
        insert(database, "cache_invalidation_log", source="webhook", operation="data_update", tags=[TAGS[-1]],
               ago=timedelta(minutes=minutes))  # fmt: skip
    advice = only(database, "timeout")
    assert advice.numbers["best_timeout"] == pytest.approx(3 * 900, rel=0.05)


@pytest.mark.parametrize("how", ["nobody", "once", "sqllab", "unknown tables", "another table"])
def test_first_have_changes_told(database: LogDatabase, how: str) -> None:
    """Intent: where it is not sure that changes are told, a longer timeout is not recommended alone."""
    asked(database, hits=400, miss_expired=300)
    registered(database, [*TAGS, *{"unknown tables": ["tables:1"], "another table": ["table:1:public.x"]}.get(how, [])])
    if how != "nobody":
        tell(database, "sqllab" if how == "sqllab" else "webhook", 1 if how == "once" else 4)
    assert only(database, "timeout").set_.startswith("first have its changes told: superset perf watch add 1 public.")


def test_the_command_that_has_changes_told_can_be_pasted(database: LogDatabase) -> None:
    """Intent: names with spaces, capitals and quotes, of the database and of the table, reach the command whole."""
    asked(database, hits=400, miss_expired=300)
    registered(database, ["all", "dataset:7", "table:1:public.fcc%202018%20survey", 'table:1:the%2eschema.a"b'])
    insert(database, "object_name", kind="database", id=1, name="Sales & more")
    insert(database, "object_name", kind="dataset", id=7, name="FCC 2018 Survey")
    command = only(database, "timeout").set_.removeprefix("first have its changes told: ").partition(" (or a probe")[0]
    add = ["superset", "perf", "watch", "add", "Sales & more"]
    assert sorted(map(shlex.split, command.split("; "))) == sorted(
        [[*add, 'public."FCC 2018 Survey"'], [*add, '"the.schema"."a""b"']]
    )


def test_relative_times_are_said_and_bounded(database: LogDatabase) -> None:
    """Intent: «last day» moves without any change, so no recommendation has it lag by more than an hour."""
    asked(database, hits=400, miss_expired=300)
    registered(database, body='{"queries": [{"time_range": "Last day"}]}')
    tell(database)
    advice = only(database, "timeout")
    assert advice.numbers["best_timeout"] == 3600
    assert "last day" in advice.finding


def test_no_timeout_without_a_reason(database: LogDatabase) -> None:
    """Intent: not where nothing expires, not where somebody has decided by a rule, and not where few ask."""
    asked(database, hits=400, miss_invalidated=300)
    registered(database, [*TAGS, "rule:mine"])
    asked(database, hits=400, miss_expired=300)
    asked(database, hits=20, miss_expired=30, dataset_id=8)
    tell(database)
    assert findings_of(database, "timeout") == []


def test_what_people_have_set_in_superset_is_the_timeout(database: LogDatabase) -> None:
    """Intent: a dataset with a day of its own needs no longer one."""
    expiring(database)
    tell(database)
    assert findings_of(database, "timeout", facts=Facts(timeouts={7: 86_400.0})) == []


def test_short_of_memory(database: LogDatabase) -> None:
    """Intent: the region whose readers find their answers thrown out needs room, and longer timeouts do not help."""
    expiring(database)
    tell(database)
    asked(database, hits=100, miss_evicted=100, evictions=5000, memory_usage=100 * MEBI)
    advice = only(
        database, "region_too_small", facts=Facts({"chart_data": ServerInfo(90 * MEBI, 100 * MEBI, "volatile-lru", 1)})
    )
    assert "maxmemory 150mb" in advice.set_
    assert advice.seconds == pytest.approx(100 * 2, rel=0.1)
    assert findings_of(database, "timeout") == []


def test_not_short_of_memory(database: LogDatabase) -> None:
    """Intent: what went with a restart or a FLUSHDB was not evicted by any server."""
    asked(database, hits=100, miss_evicted=100)
    asked(database, hits=10_000, miss_evicted=19, cache_type="metadata", evictions=19)
    assert [advice.subject for advice in findings_of(database, "region_too_small")] == ["region:chart_data"]
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.cache_performance_log SET evictions = 0")
    assert findings_of(database, "region_too_small") == []


def test_a_region_that_is_never_read(database: LogDatabase) -> None:
    """Intent: a thumbnail that nobody looks at need not stay for a week."""
    asked(database, cache_type="thumbnails", sets=500, miss_cold=500)
    asked(database, hits=30, cache_type="metadata", sets=500, miss_cold=500)
    asked(database, cache_type="explore_form_data", sets=50, miss_cold=50)
    advice = only(database, "region_never_read")
    assert advice.subject == "region:thumbnails"
    assert advice.set_.startswith(f"SUPERSET_EXT_THUMBNAILS_TIMEOUT={7 * 86_400 // 4} ")


def test_compression(database: LogDatabase) -> None:
    """Intent: where much is stored as it is, and where SQL Lab's results would be compressed twice."""
    asked(database, hits=1, sets=1000, bytes_written=100 * MEBI)
    asked(database, hits=1, sets=1000, bytes_written=100 * MEBI, cache_type="query_results")
    asked(database, hits=1, sets=1000, bytes_written=MEBI, cache_type="metadata")
    environ = {"SUPERSET_EXT_CHART_DATA_COMPRESSION": "none", "SUPERSET_EXT_METADATA_COMPRESSION": "none"}
    assert only(database, "compression", settings=load(environ)).set_ == "SUPERSET_EXT_CHART_DATA_COMPRESSION=zstd"
    twice = load({"SUPERSET_EXT_QUERY_RESULTS_COMPRESSION": "lz4"})
    assert only(database, "compression", settings=twice).set_ == "SUPERSET_EXT_QUERY_RESULTS_COMPRESSION=none"
    assert findings_of(database, "compression") == []


@pytest.mark.parametrize(
    ("rows", "fix"), [(None, "a lower row"), (200_000, "a row limit of 100,000"), (9, "fewer rows")]
)
def test_results_that_are_too_big(database: LogDatabase, rows: int | None, fix: str) -> None:
    """Intent: the chart is named, and the cap that it is over where the log of queries knows."""
    asked(database, hits=300, chart_id=71)
    asked(database, miss_cold=50, sets_too_large=50)
    asked(database, miss_cold=4, sets_too_large=4, chart_id=72)
    insert(database, "object_name", kind="chart", id=70, name="All orders")
    if rows is not None:
        insert(database, "query_performance_log", host="h", pid=1, source="chart", chart_id=70, duration_ms=2000,
               rows=rows, ago=timedelta(hours=1))  # fmt: skip
    advice = only(database, "result_too_large")
    assert (advice.subject, advice.name) == ("chart:70", "All orders")
    assert advice.set_.startswith(fix)
    assert 0 < advice.seconds <= 100


def test_eviction_policies(database: LogDatabase) -> None:
    """Intent: marks of changes had better not be evicted; a server that evicts by time to live is fine."""
    servers = {
        "chart_data": ServerInfo(1, 100, "allkeys-lru", 0), "metadata": ServerInfo(1, 100, "volatile-ttl", 0),
        "thumbnails": ServerInfo(1, 100, "noeviction", 0), "filter_state": None,
    }  # fmt: skip
    texts = {
        advice.subject: advice.finding for advice in findings_of(database, "eviction_policy", facts=Facts(servers))
    }
    assert set(texts) == {"region:chart_data", "region:thumbnails"}
    assert "every chart is asked anew" in texts["region:chart_data"]


def test_a_server_of_several_regions_is_found_once(database: LogDatabase) -> None:
    """Intent: what is wrong with a server is one finding, and names all of its regions; a region that is elsewhere is a
    finding of its own."""
    info = ServerInfo(90 * MEBI, 100 * MEBI, "noeviction", 1)
    one, other = "redis://one:6379", "redis://other:6379"
    settings = load({"SUPERSET_EXT_REDIS_URL": one, "SUPERSET_EXT_THUMBNAILS_URL": other})
    facts = Facts({str(region): info for region in Region})
    for region in ("chart_data", "metadata", "thumbnails"):
        asked(database, hits=100, miss_evicted=50, sets_memory=50, cache_type=region)
    findings = recommend(None, database, settings, facts)
    for kind in ("eviction_policy", "region_too_small"):
        of_kind = {advice.subject: advice for advice in findings if advice.kind == kind}
        assert set(of_kind) == {"server:one:6379", "region:thumbnails"}, kind
        assert {"chart_data", "metadata"} <= set(of_kind["server:one:6379"].as_dict()["evidence"]["numbers"]["regions"])


def test_recommendations_are_kept_for_the_dashboards(database: LogDatabase) -> None:
    """Intent: the dashboards begin with what to do, in the order of what it brings; what is mended goes."""
    apply_views(database)
    asked(database, hits=100, miss_evicted=50, sets_memory=50)
    facts = Facts({"chart_data": ServerInfo(90 * MEBI, 100 * MEBI, "allkeys-lru", 1)})
    findings = recommend(None, database, load({}), facts)
    assert kept.keep(database, findings) == len(findings) >= 2
    rows = database.rows("SELECT finding, setting, brings FROM perf_advice ORDER BY place")
    assert [tuple(row.values()) for row in rows] == [
        (advice.finding, advice.set_, advice.brings) for advice in findings
    ]
    assert kept.keep(database, findings[:1]) == 1
    assert len(database.rows("SELECT FROM perf_advice")) == 1
    steps = kept.steps(None, database, load({}))
    assert set(steps) == {kept.STEP}
    refresh(database, 1000, None, {kept.STEP: lambda: kept.keep(database, findings)})
    assert kept.steps(None, database, load({})) == {}


def test_forced_dashboards(database: LogDatabase) -> None:
    """Intent: a dashboard that refreshes by itself round the caches is found by its requests, others are left alone."""
    asked(database, hits=50, miss_forced=50)
    asked(database, hits=500, miss_forced=50, dashboard_id=701)
    asked(database, hits=5, miss_forced=19, dashboard_id=702)
    assert "DASHBOARD_AUTO_REFRESH_MODE" in only(database, "forced", facts=Facts(refreshing={700: 10})).set_
    by_hand = only(database, "forced", facts=Facts(refreshing={700: 10}, forces=False))
    assert by_hand.subject == "dashboard:700"
    assert "watch add" in by_hand.set_


def mornings(database: LogDatabase, weeks: int, dashboard: int = 700, hour: int = 8) -> None:
    """Misses at the same hour on working days, in the rollups: from some weeks ago on."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO superset_ext.cache_hourly (hour, cache_type, dataset_id, chart_id, dashboard_id, channel,
                misses, miss_cold, response_count, response_ms_sum)
            SELECT (date_trunc('week', now() AT TIME ZONE 'UTC') - make_interval(weeks => w, days => -d, hours => -%s))
                AT TIME ZONE 'UTC', 'chart_data', 7, 70, %s, 'web', 20, 20, 20, 40000
            FROM generate_series(1, %s) AS w CROSS JOIN generate_series(0, 4) AS d
            """,
            (hour, dashboard, weeks),
        )  # fmt: skip


def test_schedules_that_are_missing(database: LogDatabase) -> None:
    """Intent: who opens a dashboard at eight on working days finds it warm, by a schedule that is valid."""
    mornings(database, 3)
    mornings(database, 2, dashboard=701)
    registered(database, keys=15)
    advice = only(database, "schedule_missing")
    assert advice.subject == "dashboard:700"
    assert advice.seconds == pytest.approx(15 * 2 * 5 / 7, rel=0.01)  # each key once a morning
    setting = advice.set_.partition(": ")[2]
    (schedule,) = load({"SUPERSET_EXT_WARM_SCHEDULES": f"[{setting}]"}).warm_schedules
    assert (schedule.cron, schedule.dashboards, schedule.targets) == ("50 7 * * 1,2,3,4,5", (700,), ())
    there = load({"SUPERSET_EXT_WARM_SCHEDULES": f"[{setting}]"})
    assert findings_of(database, "schedule_missing", settings=there) == []


def test_a_schedule_before_midnight_is_of_the_day_before(database: LogDatabase) -> None:
    """Intent: Monday's first hour is warmed on Sunday."""
    mornings(database, 3, hour=0)
    assert '"50 23 * * 0,1,2,3,4"' in only(database, "schedule_missing").set_


@pytest.mark.parametrize(
    ("runs", "read", "schedule", "expected"),
    [(3, 0, "nightly", 1), (2, 0, "nightly", 0), (3, 30, "nightly", 0), (3, 0, "gone", 0), (3, 0, None, 0)],
)
def test_schedules_that_warm_for_nobody(
    database: LogDatabase, runs: int, read: int, schedule: str | None, expected: int
) -> None:
    """Intent: only one that still runs, has run often enough, and whose entries nobody reads."""
    for number in range(runs):
        insert(
            database, "cache_warm_run", run_id=f"00000000-0000-0000-0000-00000000000{number}", schedule=schedule,
            options="{}", options_hash=str(number), requested_by="beat", state="done", entries=100, entries_read=read,
            spent_ms=60_000, saved_ms=read * 600, settled=True, ago=timedelta(days=number),
        )  # fmt: skip
    every = findings_of(database, "schedule_unread")
    assert len(every) == expected
    if expected:
        assert only(database, "schedule_unread").seconds == pytest.approx(180 / 2, rel=0.05)


def test_the_rollups_are_read_for_older_days(database: LogDatabase) -> None:
    """Intent: the last day comes from the raw log and what is before from the rollups, and nothing twice."""
    asked(database, hits=50, miss_forced=30)
    for days, number in ((0, 1000), (3, 70), (9, 1000)):
        insert(database, "cache_hourly", cache_type="chart_data", dashboard_id=700, hits=number, misses=0, at="hour",
               ago=timedelta(days=days, hours=1))  # fmt: skip
    assert only(database, "forced").numbers["requests"] == 150


def test_an_index_is_used_for_the_days_that_are_read(database: LogDatabase) -> None:
    """Intent: a year of rollups is not read for a week's advice."""
    asked(database, hits=50, miss_forced=30)
    advice = only(database, "forced")
    plan = "\n".join(row["QUERY PLAN"] for row in database.rows("EXPLAIN " + advice.sql))
    assert "cache_hourly" in plan
    assert "hour >=" in plan


def test_facts_of_a_running_app(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: each region's server is asked itself, SQL Lab's included."""
    from superset.extensions import cache_manager

    from superset_ext.monitor.advice import recommend as module

    monkeypatch.setattr(module, "manual_timeouts", lambda: {7: 60.0})
    monkeypatch.setattr(module, "auto_refreshes", lambda: [])
    url = f"redis://127.0.0.1:{valkey.port}"
    chart, results = make_region(url), make_region(url, "query_results")  # type: ignore[arg-type]
    caches = {cache_manager.data_cache: chart, cache_manager.cache: object()}
    app = SimpleNamespace(extensions={"cache": caches}, config={"RESULTS_BACKEND": results})
    facts = facts_of(app)
    assert set(facts.servers) == {"chart_data", "query_results"}
    assert all(info is not None and info.used_memory for info in facts.servers.values())
    assert facts.forces
