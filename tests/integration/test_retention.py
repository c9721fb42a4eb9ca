"""Day partitions of the log: made ahead, made when missing, dropped when old, whatever the time zone."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import psycopg2
import pytest
from celery.schedules import crontab

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable, SettingsError
from superset_ext.events import Outcome, outcome
from superset_ext.monitor.log import recorder as recorder_module
from superset_ext.monitor.log import retention
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.monitor.log.retention import Maintained, maintain
from superset_ext.monitor.tasks import MAINTAIN, beat_schedule
from superset_ext.settings import load
from testing.log import PATIENCE

SETTINGS = load(
    {
        "SUPERSET_EXT_PARTITIONS_AHEAD": "3",
        "SUPERSET_EXT_RETENTION_DAYS": "30",
        "SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600",
    }
)
FIXED = "RETURNS date LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT DATE '{day}' $$"
INSERT = (
    "INSERT INTO superset_ext.cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type,"
    " cache_hits) VALUES (%s, 5, 'h', 1, gen_random_uuid(), 'chart_data', 1)"
)


DROP_SECONDS = retention.DROP_SECONDS


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer for anything than the product waits for it."""
    monkeypatch.setattr(retention, "DROP_SECONDS", PATIENCE)
    monkeypatch.setattr(recorder_module, "EXIT_SECONDS", PATIENCE)


@pytest.fixture
def database(log_url: str) -> LogDatabase:
    """A log on which it stays the day that it was made on."""
    made = LogDatabase(log_url)
    day = min(partitions(made))[-8:]
    with made.transaction() as cursor:
        cursor.execute(f"CREATE OR REPLACE FUNCTION superset_ext.utc_today() {FIXED.format(day=day)}")
    return made


@pytest.fixture
def day(database: LogDatabase) -> date:
    """Today."""
    today: date = database.rows("SELECT superset_ext.utc_today() AS day")[0]["day"]
    return today


def partitions(database: LogDatabase) -> list[str]:
    rows = database.rows(
        "SELECT relid::regclass::text AS name FROM pg_partition_tree('superset_ext.cache_performance_log')"
        " WHERE isleaf ORDER BY 1"
    )
    return [row["name"] for row in rows]


def name(day: date) -> str:
    return f"cache_performance_log_{day:%Y%m%d}"


def make(database: LogDatabase, day: date) -> None:
    database.rows("SELECT superset_ext.create_day_partition('cache_performance_log', %s)", (day,))


def test_partitions_are_made_ahead_and_dropped_when_old(database: LogDatabase, day: date) -> None:
    """Intent: today, three days ahead, and thirty whole days back are kept; a second run finds nothing to do."""
    for age in (29, 30, 31, 400):
        make(database, day - timedelta(days=age))
    done = maintain(database, SETTINGS)
    assert done == Maintained(4, (name(day - timedelta(days=400)), name(day - timedelta(days=31))))
    kept = [day + timedelta(days=n) for n in (-30, -29, 0, 1, 2, 3)]
    assert partitions(database) == [name(d) for d in kept]
    assert maintain(database, SETTINGS) == Maintained(0, ())


def test_many_may_keep_the_log_at_once(log_url: str, database: LogDatabase, day: date) -> None:
    """Intent: beat, a flush past midnight and a start may all do so in the same second."""
    make(database, day - timedelta(days=99))
    results: list[Maintained] = []
    gate = threading.Barrier(6)

    def run() -> None:
        own = LogDatabase(log_url)
        gate.wait()
        results.append(maintain(own, SETTINGS))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert sum(r.created for r in results) == 4
    assert [n for r in results for n in r.dropped] == [name(day - timedelta(days=99))]


def test_other_tables_are_left_alone(database: LogDatabase) -> None:
    """Intent: only partitions that we made are dropped; one that an administrator attached is theirs."""
    with database.transaction() as cursor:
        cursor.execute("CREATE TABLE superset_ext.cache_performance_log_19990101 (n int)")
        cursor.execute(
            "CREATE TABLE superset_ext.archive PARTITION OF superset_ext.cache_performance_log"
            " FOR VALUES FROM ('1999-01-01+00') TO ('2000-01-01+00')"
        )
    assert maintain(database, SETTINGS).dropped == ()


def test_a_reader_of_an_old_day_only_puts_its_drop_off(
    database: LogDatabase, log_url: str, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a dashboard's query is waited for two seconds at most, since others queue behind the drop."""
    old = day - timedelta(days=50)
    make(database, old)
    reader = psycopg2.connect(log_url)
    reader.cursor().execute("SELECT COUNT(*) FROM superset_ext.cache_performance_log")
    with monkeypatch.context() as hasty, pytest.raises(LogUnavailable, match="timeout"):
        hasty.setattr(retention, "DROP_SECONDS", DROP_SECONDS)
        hasty.setattr(database, "transaction", LogDatabase.transaction.__get__(database))
        maintain(database, SETTINGS)
    assert DROP_SECONDS == 2
    assert name(old) in partitions(database)  # nobody queues any more, while the reader still reads
    reader.rollback()
    assert maintain(database, SETTINGS).dropped == (name(old),)


def test_making_a_partition_does_not_wait_for_readers(database: LogDatabase, log_url: str, day: date) -> None:
    """Intent: at midnight a long query on the log must not hold up the counts."""
    reader = psycopg2.connect(log_url)
    reader.cursor().execute("SELECT COUNT(*) FROM superset_ext.cache_performance_log")
    make(database, day + timedelta(days=9))
    assert name(day + timedelta(days=9)) in partitions(database)
    reader.close()


def test_a_flush_makes_the_day_that_is_missing(database: LogDatabase, day: date) -> None:
    """Intent: without beat the log neither stops at midnight nor grows for ever: the first flush of a day does
    what beat would have."""
    with database.transaction() as cursor:
        cursor.execute("SELECT superset_ext.drop_day_partitions('cache_performance_log', '2999-01-01')")
    make(database, day - timedelta(days=77))
    recorder = Recorder(database, SETTINGS)
    recorder.start()
    outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))
    recorder.stop()
    assert partitions(database) == [name(day + timedelta(days=n)) for n in range(4)]
    assert database.rows("SELECT cache_hits FROM cache_performance_log") == [{"cache_hits": 1}]


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_the_servers_time_zone_changes_nothing(database_url: str, zone: str) -> None:
    """Intent: days are UTC days on a server of any zone, through the days on which New York changes its clocks;
    what is counted now lands in the published queries' today."""
    with psycopg2.connect(database_url) as connection:
        connection.cursor().execute(f"ALTER DATABASE {database_url.rpartition('/')[2]} SET timezone = '{zone}'")
    database = LogDatabase(database_url)
    database.apply_schema()
    changes = [
        date(2026, 3, 7),
        date(2026, 3, 8),
        date(2026, 3, 9),
        date(2026, 10, 31),
        date(2026, 11, 1),
        date(2026, 11, 2),
    ]
    for day in changes:
        make(database, day)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        with database.transaction() as cursor:
            for moment in (start, start + timedelta(hours=12), start + timedelta(days=1, microseconds=-1)):
                cursor.execute(INSERT, (moment,))
        rows = database.rows(f"SELECT COUNT(*) AS n FROM superset_ext.{name(day)}")
        assert rows == [{"n": 3}]
    recorder = Recorder(database, SETTINGS)
    recorder.start()
    [before] = database.rows("SELECT CURRENT_DATE AS today")
    outcome.send("metadata", event=Outcome("metadata", None, 1.0))
    recorder.stop()
    row = database.query("published_daily")[0]
    [after] = database.rows("SELECT CURRENT_DATE AS today")
    assert before["today"] <= row["date"] <= after["today"]
    assert (row["total_hits"], row["total_requests"]) == (1, 1)
    database.close()


def test_what_grows_is_bounded(database: LogDatabase) -> None:
    """Intent: what is as fine as raw rows goes after 30 days, rollups and what was told after 13 months; an alert
    that lasts stays."""
    kept = {
        "cache_minute (minute)": 30, "cache_sample (region, server, at)": 30, "database_sample (database_id, at)": 30,
        "query_fingerprint (fingerprint, sql, last_seen)": 30, "cache_hourly (cache_type, hour)": 396,
        "cache_daily (cache_type, day)": 396, "query_hourly (source, hour)": 396, "query_daily (day)": 396,
        "cache_tuning_log (subject, setting, new_value, reason, created_at)": 396,
    }  # fmt: skip
    fixed = {"region": "r", "server": "s", "database_id": 1, "cache_type": "m", "source": "chart", "subject": "d",
             "setting": "grace", "sql": "", "new_value": 1, "reason": ""}  # fmt: skip
    with database.transaction() as cursor:
        for table, days in kept.items():
            columns = table.partition("(")[2].rstrip(")").split(", ")
            for age in (days - 2, days + 3):
                at = datetime.now(UTC) - timedelta(days=age)
                values = [fixed.get(column, f"f{age}" if column == "fingerprint" else at) for column in columns]
                cursor.execute(f"INSERT INTO superset_ext.{table} VALUES %s", (tuple(values),))
        cursor.execute(
            "INSERT INTO superset_ext.performance_alert_rule (name, metric_type, threshold_value, comparison_operator,"
            " window_minutes, severity) VALUES ('n', 'm', 1, '>', 1, 'info')"
        )
        for ended in (None, datetime.now(UTC) - timedelta(days=399), datetime.now(UTC) - timedelta(days=390)):
            cursor.execute(
                "INSERT INTO superset_ext.performance_alert (rule_id, subject, fired_at, resolved_at)"
                " VALUES (1, %s, now() - interval '500 days', %s)",
                (str(ended), ended),
            )
    maintain(database, SETTINGS)
    left = {table: database.rows(f"SELECT count(*) AS n FROM {table.split()[0]}")[0]["n"] for table in kept}
    assert left == dict.fromkeys(kept, 1)
    assert database.rows("SELECT count(*) AS n FROM performance_alert") == [{"n": 2}]


def test_statements_are_bounded_in_number(database: LogDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: people may write any number of statements in a month; those sent last are kept."""
    monkeypatch.setattr(retention, "FINGERPRINTS", 10)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO superset_ext.query_fingerprint (fingerprint, sql, last_seen)"
            " SELECT n, '', now() - n * interval '1 hour' FROM generate_series(1, 30) AS n"
        )
    maintain(database, SETTINGS)
    left = database.rows("SELECT count(*) AS n, max(fingerprint::int) AS last FROM query_fingerprint")
    assert left == [{"n": 10, "last": 10}]


def test_beat_runs_it_by_the_setting() -> None:
    """Intent: the cron line of the setting is when; a line that only croniter reads stops the start."""
    schedule = beat_schedule(load({"SUPERSET_EXT_MAINTENANCE_CRON": "5 4 * * 1"}))
    assert schedule[MAINTAIN]["task"] == MAINTAIN
    assert schedule[MAINTAIN]["schedule"] == crontab(minute="5", hour="4", day_of_week="1")
    with pytest.raises(SettingsError, match="SUPERSET_EXT_MAINTENANCE_CRON"):
        beat_schedule(load({"SUPERSET_EXT_MAINTENANCE_CRON": "5 4 L * *"}))


def test_the_task_keeps_the_log_of_the_apps_own_database(
    database: LogDatabase, log_url: str, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: run in an app context, as Superset's worker does, it finds the log by the same rule as install."""
    from flask import Flask

    from superset_ext.monitor import tasks

    monkeypatch.setattr(tasks, "current", lambda: SETTINGS)
    make(database, day - timedelta(days=60))
    app = Flask("test")
    app.config["SQLALCHEMY_DATABASE_URI"] = log_url
    with app.app_context():
        tasks.maintain_log()
    assert partitions(database) == [name(day + timedelta(days=n)) for n in range(4)]
