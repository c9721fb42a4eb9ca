"""Rules of alerts: when one begins and ends, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.alerts import evaluate as alerts
from superset_ext.monitor.alerts import rules as alert_rules
from superset_ext.monitor.alerts.events import Event
from superset_ext.monitor.alerts.metrics import METRICS
from superset_ext.monitor.alerts.rules import AlertError, AlertRule, parse
from testing.alert_cases import END, evaluate, good, poor
from testing.alerts import (
    SETTINGS,
    at,
    memory,
    queries,
    refreshed,
    requests,
    run,
    statement,
    warmed,
    write,
)  # fmt: skip

Act = Callable[[LogDatabase], None]


FORTNIGHT = 14 * 24 * 60


def summary(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.kind, event.name, event.subject) for event in events]


def ended(database: LogDatabase, minutes: float, items: str, state: str = "done") -> None:
    run(database, minutes, items, state)


def slow_queries(database: LogDatabase) -> None:
    queries(database, -1, 90)
    queries(database, -1, 10, 3000)


def failing(database: LogDatabase) -> None:
    queries(database, -1, 96)
    queries(database, -1, 4, error="OperationalError")


def as_ever(database: LogDatabase) -> None:
    for minute in range(END):
        requests(database, minute, 95, 10)


def spike(database: LogDatabase) -> None:
    for quarter in range(2, 12):
        queries(database, -15 * quarter, 40)
        queries(database, -15 * quarter, 1, 3000)
    queries(database, -1, 390)
    queries(database, -1, 10, 3000)


def usual(database: LogDatabase, until: int = -20, ms: float = 50.0) -> None:
    """Two days like any other."""
    write(
        database,
        "INSERT INTO superset_ext.cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type,"
        " channel, cache_hits, cache_misses, response_count, response_ms_sum)"
        " SELECT m, 5, 'h', 1, gen_random_uuid(), 'chart_data', 'web', 90 + random() * 10, 10, 105,"
        " 105 * %(ms)s * (0.9 + random() * 0.2)"
        " FROM generate_series(%(since)s::timestamptz, %(until)s, interval '1 minute') AS m",
        since=at(-46 * 60), until=at(until), ms=ms,
    )  # fmt: skip


def elsewhere(database: LogDatabase) -> None:
    run(database, -5, "f", schedule="somebody's")


def slow(database: LogDatabase) -> None:
    usual(database)
    for minute in range(-19, 0):
        requests(database, minute, 95, 10, ms=900.0)


def sampled(database: LogDatabase, minutes: float, seconds: float) -> None:
    write(database, "INSERT INTO superset_ext.database_sample VALUES (%(at)s, 3, 9, 1, %(seconds)s)",
          at=at(minutes), seconds=seconds)  # fmt: skip


def needs(database: LogDatabase, *kinds: str) -> None:
    """Database 3 needs this for itself, and nothing else."""
    write(database, "DELETE FROM superset_ext.upkeep_finding")
    for place, kind in enumerate(kinds, 1):
        write(
            database,
            "INSERT INTO superset_ext.upkeep_finding VALUES (3, %(place)s, now(), now(), %(kind)s, 'warning', 's', 'e',"
            " '{\"times\": 3.5}', 'a', '')",
            place=place, kind=kind,
        )  # fmt: skip


def planned(database: LogDatabase, minutes: float, kind: str) -> None:
    write(
        database,
        "INSERT INTO superset_ext.query_plan VALUES ('f', %(at)s, 3, 900, 180000, 1, 1, 's', '{}', jsonb_build_array("
        "jsonb_build_object('kind', %(kind)s::text, 'numbers', '{\"ms\": 900, \"before_ms\": 300}'::jsonb)), '[]')",
        at=at(minutes), kind=kind,
    )  # fmt: skip


def rewritten(database: LogDatabase) -> None:
    """Charts of dataset 7 are rewritten."""
    write(database, "INSERT INTO superset_ext.rewrite_use VALUES (7, 'f', '{extract_range}', 3, 'used')")


CASES: dict[str, tuple[list[tuple[str, str]], Act, Act]] = {
    "hit ratio": ([("Low hit ratio of charts", "chart_data")], poor, good),
    "invalidations": (
        [("Many answers dropped by changes", "chart_data")],
        lambda d: requests(d, -1, 80, 20, invalidated=20),
        good,
    ),
    "memory 80": (
        [("Cache memory over 80 %", "redis:6379")],
        lambda d: memory(d, 0, 850),
        lambda d: memory(d, END - 1, 500),
    ),
    "memory 90": (
        [("Cache memory over 80 %", "redis:6379"), ("Cache memory over 90 %", "redis:6379")],
        lambda d: memory(d, 0, 950),
        lambda d: memory(d, END - 1, 500),
    ),
    "slow queries": (
        [("Many slow queries", "database:3")],
        slow_queries,
        lambda d: queries(d, END - 1, 100),
    ),
    "spike": (
        [("Slow queries far above their usual number", "database:3")],
        spike,
        lambda d: queries(d, END - 1, 100),
    ),
    "cache errors": (
        [("Cache errors", "chart_data")],
        lambda d: requests(d, -1, 900, 20, errors=20),
        lambda d: requests(d, END - 1, 900, 20),
    ),
    "query errors": (
        [("Chart queries fail", "database:3")],
        failing,
        lambda d: queries(d, END - 1, 100),
    ),
    "stale view": ([("Figures are old", "perf_chart")], lambda d: refreshed(d, -20), lambda d: refreshed(d, END - 1)),
    "warming fails": (
        [("Warming fails", "nightly")],
        lambda d: ended(d, -5, "wfff"),
        lambda d: ended(d, END - 1, "ww"),
    ),
    "run fails": (
        [("Warming fails", "nightly")],
        lambda d: ended(d, -5, "", "failed"),
        lambda d: ended(d, END - 1, "w"),
    ),
    "for nobody": ([("Warmed for nobody", "nightly")], lambda d: warmed(d, -5, 0), lambda d: warmed(d, END - 1, 2)),
    "lock wait": (
        [("A source waits for a lock", "database:3")],
        lambda d: sampled(d, -1, 1.5),
        lambda d: sampled(d, END - 1, 0.0),
    ),
    "statistics": (
        [("Statistics are stale", "database:3")],
        lambda d: needs(d, "statistics_old", "locks"),
        lambda d: needs(d, "locks"),
    ),
    "index bloat": (
        [("An index is bloated", "database:3")],
        lambda d: needs(d, "index_bloat", "locks"),
        lambda d: needs(d, "locks"),
    ),
    "rewrite": (
        [("A rewrite gave other rows", "dataset:7")],
        lambda d: write(
            d, "INSERT INTO superset_ext.rewrite_switched_off VALUES (7, 'extract_range', %(at)s, 3, 'f', 'o', 'r')",
            at=at(-1),
        ),
        lambda d: write(d, "DELETE FROM superset_ext.rewrite_switched_off") or rewritten(d),
    ),
    "aggregate": (
        [("An aggregate gave other rows", "database:7")],
        lambda d: write(
            d, "INSERT INTO superset_ext.aggregate_switched_off VALUES (7, 'by_day.1', %(at)s, 3, 'f', 'o', 'r')",
            at=at(-1),
        ),
        lambda d: write(d, "UPDATE superset_ext.aggregate_switched_off SET at = at - interval '2 days'"),
    ),
    "plan": (
        [("A plan changed and is slower", "database:3")],
        lambda d: planned(d, -1, "plan_changed"),
        lambda d: planned(d, END - 1, "spilled"),
    ),
    "anomaly": (
        [("Unusual figures", "response_ms")],
        slow,
        as_ever,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_built_in_rule_is_raised_once_and_ends(database: LogDatabase, name: str) -> None:
    """Intent: what each rule is for raises it, and no other; looking again raises nothing; when all is well it ends."""
    expected, cause, cure = CASES[name]
    assert evaluate(database) == []
    cause(database)
    fired = evaluate(database)
    assert summary(fired) == [("fired", *pair) for pair in expected]
    assert evaluate(database) == evaluate(database, 1) == []
    cure(database)
    ended = evaluate(database, END)
    assert sorted(summary(ended)) == sorted(("resolved", *pair) for pair in expected)
    assert {event.alert_id for event in ended} == {event.alert_id for event in fired}
    assert evaluate(database, END) == evaluate(database, END + 1) == []
    rows = alerts.recent(database)
    assert [row["resolved_at"] for row in rows] == [at(END)] * len(expected)
    assert all(row["message"] for row in rows)


def test_every_built_in_rule_has_a_case(database: LogDatabase) -> None:
    """Intent: a rule that is added without being caused in a test is noticed."""
    caused = {name for expected, _, _ in CASES.values() for name, _ in expected}
    assert {rule["name"] for rule in alert_rules.rules(database) if rule["builtin"] and rule["enabled"]} == caused


@pytest.mark.parametrize(
    "calm",
    [
        lambda d: requests(d, -1, 0, 2),
        lambda d: requests(d, -1, 0, 100, region="metadata"),
        lambda d: requests(d, -1, 0, 100, channel="warm"),
        lambda d: requests(d, -40, 0, 100),
        lambda d: requests(d, -1, 10, 2, invalidated=2, errors=2),
        lambda d: queries(d, -1, 2, 9000),
        lambda d: queries(d, -1, 50, 9000, channel="warm"),
        lambda d: queries(d, -1, 2, error="OperationalError"),
        lambda d: queries(d, -1, 50, error="ProgrammingError", source="sqllab"),
        lambda d: refreshed(d, -10),
        elsewhere,
        lambda d: ended(d, -5, "wwf"),
        lambda d: memory(d, -1, 790),
        lambda d: usual(d, 0),
    ],
)
def test_little_or_nobodys_is_no_alarm(database: LogDatabase, calm: Act) -> None:
    """Intent: two requests, warming's own, people's trials in SQL Lab and what is long past wake nobody."""
    calm(database)
    assert evaluate(database) == []


def test_the_first_hour_of_a_fresh_install_has_no_alert(database: LogDatabase) -> None:
    """Intent: in the first hour everything is asked for the first time. Misses that had to be, and queries that are
    slow then, are no fault; once the same is asked again, the same figures are one."""
    for minute in range(-60, 0):
        refreshed(database, minute)
        requests(database, minute, 1, 12, cold=12)
        for chart in range(4):
            statement(database, minute, f"{minute} {chart}")
            queries(database, minute, 3, 4000.0, fingerprint=f"{minute} {chart}")
        if minute % 5 == 0:
            memory(database, minute, 300)
            assert evaluate(database, minute) == []
    assert evaluate(database) == []
    assert alerts.recent(database) == []
    requests(database, 1, 1, 24, cold=0)
    for chart in range(4):
        queries(database, 1, 3, 4000.0, fingerprint=f"-60 {chart}")
    assert summary(evaluate(database, 2)) == [
        ("fired", "Low hit ratio of charts", "chart_data"), ("fired", "Many slow queries", "database:3")
    ]  # fmt: skip


def test_flapping_around_the_threshold_is_one_alert(database: LogDatabase) -> None:
    """Intent: between the threshold and the value that clears it the alert stays; within the cool-down after its end
    none begins, after it one does."""
    for minute, hits in ((0, 690), (20, 710), (40, 690), (60, 740), (80, 699)):
        requests(database, minute, hits, 1000 - hits)
    steps = [summary(evaluate(database, minute)) for minute in (1, 21, 41, 61, 81)]
    assert steps == [[("fired", "Low hit ratio of charts", "chart_data")], [], [], [], []]
    requests(database, 100, 760, 240)
    assert [event.kind for event in evaluate(database, 101)] == ["resolved"]
    for minute, count in ((120, 0), (140, 1)):
        requests(database, minute, 600, 400)
        assert len(evaluate(database, minute + 1)) == count
    last, first = alerts.recent(database)
    assert (first["value"], first["worst"]) == (0.69, 0.69)
    assert last["fired_at"] == at(141)


def test_the_worst_is_kept(database: LogDatabase) -> None:
    """Intent: what an alert came to is known after its end."""
    for minute, hits in ((0, 60), (20, 20), (40, 50), (60, 90)):
        requests(database, minute, hits, 100 - hits)
    [ended] = [event for minute in (1, 21, 41, 61) for event in evaluate(database, minute) if event.kind == "resolved"]
    assert ended.worst == 0.2
    assert ended.message == "Hit ratio of chart_data: 90 % again; it was 20 % at worst, for 60 minutes"
    assert alerts.recent(database)[0]["worst"] == 0.2


def test_what_is_not_measured_any_more_ends_without_a_claim(database: LogDatabase) -> None:
    """Intent: an alert of a region that nobody reads any more does not last for ever, nor says that all is well."""
    poor(database)
    evaluate(database)
    [ended] = evaluate(database, 60)
    assert ended.kind == "resolved"
    assert ended.message.startswith("Nothing is known of chart_data any more")


def test_many_evaluators_raise_one_alert(url: str, database: LogDatabase) -> None:
    """Intent: beat twice, or two workers, in the same instant: one alert, one notice, one end."""
    others = [LogDatabase(url) for _ in range(6)]

    def at_once(minutes: float) -> list[Event]:
        gate = threading.Barrier(len(others))

        def one(own: LogDatabase) -> list[Event]:
            gate.wait()
            return evaluate(own, minutes)

        with ThreadPoolExecutor(len(others)) as pool:
            return [event for events in pool.map(one, others) for event in events]

    memory(database, 0, 950)
    poor(database)
    assert len(at_once(0)) == 3
    good(database)
    memory(database, END - 1, 100)
    assert len(at_once(END)) == 3
    for own in others:
        own.close()
    assert len(alerts.recent(database)) == 3
    assert database.rows("SELECT count(*) AS n FROM performance_alert_notice") == [{"n": 6}]


def test_that_nobody_asks_any_more_is_unusual(database: LogDatabase) -> None:
    """Intent: a Superset that nobody reaches has no figures, and that is one."""
    usual(database, -20)
    [event] = evaluate(database)
    assert (event.metric_type, event.subject, event.confidence) == ("anomaly", "requests", pytest.approx(1, abs=0.01))
    assert event.message.startswith("Requests for charts in five minutes: ")


def test_an_open_alert_is_one_whoever_writes(database: LogDatabase) -> None:
    """Intent: the table itself refuses a second open alert of a rule and subject."""
    poor(database)
    [event] = evaluate(database)
    with pytest.raises(LogUnavailable, match="performance_alert_open"):
        write(
            database,
            "INSERT INTO superset_ext.performance_alert (rule_id, subject) VALUES (%(rule)s, 'chart_data')",
            rule=event.rule_id,
        )


def test_a_rule_that_cannot_be_measured_holds_up_no_other(
    database: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: a table that is broken and a row that is no rule are said once; the other rules are looked at."""
    write(database, "ALTER TABLE superset_ext.cache_sample RENAME TO elsewhere")
    write(
        database,
        "INSERT INTO superset_ext.performance_alert_rule (name, metric_type, threshold_value, comparison_operator,"
        " window_minutes, severity) VALUES ('odd', 'moon', 1, '>', 5, 'info')",
    )
    poor(database)
    assert summary(evaluate(database)) == [("fired", "Low hit ratio of charts", "chart_data")]
    assert "could not be measured" in caplog.text
    assert "'metric_type'" in caplog.text
    [odd] = [rule["id"] for rule in alert_rules.rules(database) if rule["name"] == "odd"]
    assert alert_rules.remove(database, odd) == "removed"


def test_a_gone_database_is_an_error() -> None:
    """Intent: whoever evaluates learns that nothing was."""
    gone = LogDatabase("postgresql://127.0.0.1:1/none")
    with pytest.raises(LogUnavailable):
        alerts.evaluate(gone, SETTINGS)


OWN = {
    "name": "Database 3 is slow", "metric_type": "slow_query_share", "subject": "database:3",
    "comparison_operator": ">=", "threshold_value": 0.5, "min_occurrences": 3,
}  # fmt: skip


def test_a_rule_of_ones_own_watches_its_subject(database: LogDatabase) -> None:
    """Intent: a rule that names a subject is about that one alone; removed, its alert ends and people are told."""
    rule_id = alert_rules.add(database, parse(OWN))
    for number in (3, 4):
        queries(database, -1, 4, 5000, database=number)
    assert summary(evaluate(database)) == [("fired", "Database 3 is slow", "database:3")]
    assert [rule["open"] for rule in alert_rules.rules(database) if rule["id"] == rule_id] == [1]
    assert alert_rules.remove(database, rule_id) == "removed"
    assert rule_id not in {rule["id"] for rule in alert_rules.rules(database)}
    assert alerts.recent(database) == []
    notices = database.rows("SELECT event, body FROM performance_alert_notice ORDER BY id")
    assert [row["event"] for row in notices] == ["fired", "resolved"]
    assert notices[1]["body"] == "Database 3 is slow, database:3: closed, since its rule was removed"
    with pytest.raises(AlertError, match=f"no rule {rule_id}"):
        alert_rules.remove(database, rule_id)


@pytest.mark.parametrize("how", ["remove", "change", "sql"])
def test_a_built_in_rule_is_switched_off_for_good(database: LogDatabase, how: str) -> None:
    """Intent: switched off by whichever way, it closes its alerts and raises none, also after an upgrade; it can be
    switched on again."""
    poor(database)
    [fired] = evaluate(database)
    if how == "remove":
        assert alert_rules.remove(database, fired.rule_id) == "switched off"
    elif how == "change":
        assert not alert_rules.change(database, fired.rule_id, {"enabled": False}).enabled
    else:
        write(database, "UPDATE superset_ext.performance_alert_rule SET enabled = false WHERE id = %(id)s",
              id=fired.rule_id)  # fmt: skip
    closed = evaluate(database)
    assert [event.kind for event in closed] == (["resolved"] if how == "sql" else [])
    [row] = alerts.recent(database)
    assert row["resolved_at"] is not None
    assert database.apply_schema() == []
    requests(database, 100, 0, 100)
    assert evaluate(database, 101) == []
    alert_rules.change(database, fired.rule_id, {"enabled": True, "threshold_value": 0.5, "clear_value": None})
    assert summary(evaluate(database, 101)) == [("fired", "Low hit ratio of charts", "chart_data")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metric_type": "moon"}, "'metric_type': .*'hit_ratio'"),
        ({"comparison_operator": "="}, "'comparison_operator'"),
        ({"threshold_value": "much"}, "'threshold_value'.*number"),
        ({"threshold_value": float("nan")}, "'threshold_value'"),
        ({"window_minutes": 0}, "'window_minutes'.*greater"),
        ({"severity": "fatal"}, "'severity'"),
        ({"name": "a\x00b"}, "'name'"),
        ({"colour": "red"}, "'colour' is no field of a rule; use name"),
        ({"clear_value": 0.9}, "clear_value must be below threshold_value"),
        ({"metric_type": "anomaly", "threshold_value": 3}, "compared by its confidence"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line(wrong: dict[str, object], message: str) -> None:
    """Intent: REST and CLI show the first mistake, with what may be written."""
    with pytest.raises(AlertError, match=message) as caught:
        parse(OWN | wrong)
    assert "\n" not in str(caught.value)


def test_names_are_one_each(database: LogDatabase) -> None:
    """Intent: a second rule of a name is refused, by add and by change; a change of an unknown one too."""
    mine = alert_rules.add(database, parse(OWN))
    with pytest.raises(AlertError, match="already"):
        alert_rules.add(database, parse(OWN))
    with pytest.raises(AlertError, match="already"):
        alert_rules.change(database, mine, {"name": "Cache errors"})
    for unknown in (0, -1, 10**9, 10**30):
        with pytest.raises(AlertError, match="no rule"):
            alert_rules.change(database, unknown, {})
    assert isinstance(alert_rules.change(database, mine, {"threshold_value": 0.6}), AlertRule)


def test_old_alerts_are_forgotten(database: LogDatabase) -> None:
    """Intent: what has ended before the log's retention goes, and what lasts stays."""
    poor(database)
    evaluate(database)
    good(database)
    evaluate(database, END)
    write(database, "UPDATE superset_ext.performance_alert SET resolved_at = resolved_at - interval '31 days'")
    refreshed(database, -FORTNIGHT * 3)
    evaluate(database, END + 1)
    assert [row["name"] for row in alerts.recent(database)] == ["Figures are old"]


def test_what_a_metric_asks_is_a_file_that_runs(database: LogDatabase) -> None:
    """Intent: each query stands in `sql/queries/`, and takes the values that rules give, also over an empty log."""
    values = {"now": datetime.now(UTC), "window": "60 minutes", "slow_ms": 1000.0, "schedules": ["a schedule"]}
    for query in filter(None, (metric.query for metric in METRICS.values())):
        assert database.query(query, values) == []
