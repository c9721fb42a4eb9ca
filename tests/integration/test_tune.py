"""Tuning on a real log: what it sets, what it never sets, and what it takes back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from superset_ext.cache import tuned
from superset_ext.cache.query import running
from superset_ext.cache.region import RegionCache
from superset_ext.cache.rules import lifetime as by_settings
from superset_ext.cache.tuned import GOOD_FOR_SECONDS, Tuned, are_told
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from superset_ext.freshness.change import Change, Freshness, SourceTable
from superset_ext.freshness.watch.service import HEARTBEAT
from superset_ext.monitor.advice import overrides
from superset_ext.monitor.advice.announced import PROBE_LATE_SECONDS, announced_tags
from superset_ext.monitor.advice.effect import Window, effect
from superset_ext.monitor.advice.lifetimes import MIN_REQUESTS, Dataset, Use
from superset_ext.monitor.advice.overrides import EVERY_SECONDS, Overrides
from superset_ext.monitor.advice.steps import Step, best, situation
from superset_ext.monitor.advice.tune import asking, begin, tune
from superset_ext.settings import load
from superset_ext.sqltables.table import Table
from testing.regions import client_of, make_region
from testing.replay import SOURCES, Replay, Source, last_monday, replayed, tuning

DAY = timedelta(days=1)
BUSY = Source(1, reports_changes=True, changes=1.0, cost=2.0, rate=12.0)
OTHER = Source(2, reports_changes=False, changes=4.0, cost=2.0, rate=12.0)
ORDERS = {"query": "SELECT * FROM public.orders"}


@pytest.fixture(autouse=True)
def _nothing_heard() -> Iterator[None]:
    yield
    tuned.put({})


@pytest.fixture
def database(log_url: str) -> Iterator[LogDatabase]:
    made = LogDatabase(log_url)
    yield made
    made.close()


def replay(database: LogDatabase, hours: int, sources: Sequence[Source] = (BUSY, OTHER), **knobs: Any) -> Replay:
    """A world that has been used for some hours, tuned or not."""
    made = Replay(database, tuning(**knobs), sources, last_monday())
    made.prepare(7)
    made.run(hours)
    return made


def steps(database: LogDatabase) -> list[dict[str, Any]]:
    return database.rows("SELECT * FROM superset_ext.cache_tuning_log ORDER BY id")


def set_(database: LogDatabase) -> dict[int, Tuned]:
    return overrides.read(database.rows)


def test_a_replayed_week_saves_more_and_shows_nothing_older(postgres: Postgres) -> None:
    """Intent: by the same requests and changes, tuning spares the database a good part more, at nobody's cost."""
    chosen = [source for source in SOURCES if source.id in (1, 2, 3, 5, 6)]
    weeks = [
        replayed(postgres.create_database(f"week_{uuid4().hex}"), tuning(auto_apply=auto), sources=chosen)
        for auto in (False, True)
    ]  # fmt: skip
    assert (weeks[0].requests, weeks[0].demanded) == (weeks[1].requests, weeks[1].demanded)
    assert weeks[1].saved > 1.15 * weeks[0].saved
    assert weeks[1].outdated <= weeks[0].outdated
    assert not {done.dataset_id for done in weeks[1].done} & {
        source.id for source in chosen if not source.reports_changes
    }


def test_a_step_is_tried_measured_and_kept(database: LogDatabase) -> None:
    """Intent: one trial at a time, written down, decided when its window is over and not before."""
    world = replay(database, 25)
    (trial,) = steps(database)
    assert (trial["subject"], trial["setting"], trial["old_value"], trial["state"]) == (
        "dataset:1",
        "timeout",
        None,
        "trial",
    )
    assert set_(database) == {1: Tuned(timeout=trial["new_value"])}
    world.run(24)
    assert [row["state"] for row in steps(database)] == ["trial"]
    world.run(1)
    first, *more = steps(database)
    assert (first["state"], first["decided_at"]) == ("kept", world.moment(world.now - 3600))
    assert first["saved_after"] > first["saved_before"] > 0
    assert [row["state"] for row in more] in ([], ["trial"])


def test_a_harmful_step_is_taken_back(database: LogDatabase) -> None:
    """Intent: a step that was made harmful on purpose does not outlive its window, and is not tried again at once."""
    world = replay(database, 48, auto_apply=False)
    harm = Step(1, "timeout", 900, 60, 0, "made harmful on purpose")
    with database.transaction() as cursor:
        begin(asking(cursor), harm, None, world.moment(world.now))
    world._settings = tuning()
    world.run(24)
    assert set_(database) == {1: Tuned(timeout=60)}
    world.run(3)
    (trial,) = steps(database)
    assert trial["state"] == "reverted"
    assert trial["saved_after"] < trial["saved_before"]
    assert set_(database) == {}


def test_a_step_goes_back_to_what_tuning_had_set_before(database: LogDatabase) -> None:
    """Intent: what was kept earlier is not lost with a later step."""
    world = replay(database, 48, auto_apply=False)
    with database.transaction() as cursor:
        begin(asking(cursor), Step(1, "timeout", 3600, 60, 0, "harm"), 3600, world.moment(world.now))
    world._settings = tuning()
    world.run(27)
    assert set_(database) == {1: Tuned(timeout=3600)}


def test_a_step_that_nobody_asks_for_is_taken_back(database: LogDatabase) -> None:
    """Intent: what cannot be told to be good is not kept, and does not hold up other steps for ever."""
    world = replay(database, 26)
    assert [row["state"] for row in steps(database)] == ["trial"]
    now = world.moment(world.now)
    with database.transaction() as cursor:
        cursor.execute(
            "DELETE FROM superset_ext.cache_performance_log WHERE created_at > %s", (world.moment(24 * 3600),)
        )
    assert tune(database, tuning(), now + DAY) == []
    with database.transaction() as cursor:  # a job tells on
        cursor.execute("UPDATE superset_ext.cache_invalidation_log SET created_at = created_at + interval '3 days'")
    (done,) = tune(database, tuning(), now + 3 * DAY)
    assert (done.action, "too few" in done.reason) == ("reverted", True)


def test_off_is_off(database: LogDatabase) -> None:
    """Intent: nothing is set unless somebody wants it."""
    replay(database, 26, auto_apply=False)
    assert (steps(database), set_(database)) == ([], {})


def test_what_people_have_set_in_superset_is_not_tried(database: LogDatabase) -> None:
    """Intent: no window is spent on a dataset whose timeout stands whatever tuning says."""
    world = replay(database, 24, auto_apply=False)
    now = world.moment(world.now)
    assert tune(database, tuning(), now, by_hand=[1]) == []
    assert [change.dataset_id for change in tune(database, tuning(), now)] == [1]


def test_a_log_that_is_too_young_is_no_measure(database: LogDatabase) -> None:
    """Intent: half a day cannot be compared with a whole one."""
    replay(database, 22)
    assert steps(database) == []


def test_two_beats_take_one_turn(database: LogDatabase) -> None:
    """Intent: another process under way means that there is nothing to do."""
    world = replay(database, 24, auto_apply=False)
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.tune', 0))")
        assert tune(database, tuning(), world.moment(world.now)) == []
    assert [change.action for change in tune(database, tuning(), world.moment(world.now))] == ["tried"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM superset_ext.cache_invalidation_log",
        "UPDATE superset_ext.cache_invalidation_log SET source = 'sqllab'",
        "UPDATE superset_ext.cache_request SET tags = tags || '{tables:1}'::text[]",
        "UPDATE superset_ext.cache_request SET tags = tags || '{rule:mine}'::text[]",
        """UPDATE superset_ext.cache_request SET body = '{"queries": [{"time_range": "previous week"}]}'""",
        "UPDATE superset_ext.cache_request SET body = NULL",
        "DELETE FROM superset_ext.cache_request",
    ],
)
def test_nothing_is_lengthened_that_would_show_old_data(database: LogDatabase, change: str) -> None:
    """Intent: without word of its changes no dataset gets a longer life; one that has it loses it."""
    world = replay(database, 24, sources=[BUSY], auto_apply=False)
    now = world.moment(world.now)
    overrides.write(database.rows, 1, "timeout", 7200, now)
    overrides.write(database.rows, 1, "grace", 30, now)
    with database.transaction() as cursor:
        cursor.execute(change)
    done = tune(database, tuning(), now)
    kept = {} if "rule:" in change else {1: Tuned(grace=30)}
    assert {change.action for change in done} == {"withdrawn"}
    assert set_(database) == kept


def test_what_is_out_of_bounds_is_taken_back(database: LogDatabase) -> None:
    """Intent: new bounds hold for what was set before."""
    world = replay(database, 24, sources=[BUSY], auto_apply=False)
    now = world.moment(world.now)
    overrides.write(database.rows, 1, "timeout", 7200, now)
    overrides.write(database.rows, 1, "grace", 600, now)
    done = tune(database, tuning(tune_max_timeout=900, tune_max_grace=300), now)
    assert [(change.action, change.setting) for change in done] == [("withdrawn", "timeout"), ("withdrawn", "grace")]


def test_who_tells(database: LogDatabase) -> None:
    """Intent: jobs by what they told lately, watches and probes by what is there now; each only while it works."""
    now = database.rows("SELECT now() AS now")[0]["now"]

    def run(sql: str, *values: Any) -> frozenset[str]:
        with database.transaction() as cursor:
            cursor.execute(sql, values)
        return announced_tags(database.rows, now)

    assert run("SELECT 1") == frozenset()
    log = (
        "INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tags) VALUES (%s, %s, %s, %s)"
    )
    assert run(log, now - DAY, "webhook", "data_update", ["any", "tables:1", "table:1:a.a"]) == frozenset()
    assert run(log, now, "cli", "data_update", ["any", "tables:1", "table:1:a.a"]) == {"table:1:a.a"}
    assert announced_tags(database.rows, now + 6 * DAY) == frozenset()
    run("DELETE FROM superset_ext.cache_invalidation_log")
    watch = (
        "INSERT INTO superset_ext.cache_watch (database_id, schema_name, table_name) VALUES (1, 'Public', 'Or.ders')"
    )
    assert run(watch) == {"table:1:public.or%2eders", "table:1:.or%2eders"}
    silent = "INSERT INTO superset_ext.heartbeat (name, at) VALUES (%s, %s)"
    assert run(silent, HEARTBEAT, now - timedelta(minutes=2)) == frozenset()
    columns = "probe, name, dataset_id, answered_at, next_at"
    probe = f"INSERT INTO superset_ext.cache_probe ({columns}) VALUES ('p', 'p', 7, %s, %s)"
    assert run(probe, now, now) == {"dataset:7"}
    assert announced_tags(database.rows, now + timedelta(seconds=PROBE_LATE_SECONDS + 1)) == frozenset()
    assert run("UPDATE superset_ext.cache_probe SET failed_since = now()") == frozenset()


counts = st.floats(0, 10_000)
some_uses = st.builds(Use, st.just(1), st.integers(1, 3), counts, st.just(0.0), counts, counts, counts, counts, counts,
                      st.floats(0, 60))  # fmt: skip
some_datasets = st.builds(
    Dataset, st.just(1), st.lists(some_uses, max_size=3), st.sampled_from([(), ("rule:a",), ("table:1:a",)]),
    st.booleans(), st.booleans(), st.floats(0, 1), st.floats(0, 200_000), st.floats(0, 5000),
)  # fmt: skip
limits = st.builds(
    lambda low, high, grace: SimpleNamespace(tune_min_timeout=low, tune_max_timeout=low + high, tune_max_grace=grace),
    st.integers(1, 10_000), st.integers(0, 100_000), st.integers(0, 10_000),
)  # fmt: skip


@given(some_datasets, limits)
def test_bounds_are_kept(dataset: Dataset, bounds: Any) -> None:
    """Intent: whatever is counted, a step is within the bounds, and longer only where changes are told."""
    step = best([dataset], situation(dataset.uses, [dataset]), bounds)
    if step is None:
        return
    low, high = (
        (bounds.tune_min_timeout, bounds.tune_max_timeout) if step.setting == "timeout" else (0, bounds.tune_max_grace)
    )
    assert low <= step.new <= high
    assert not dataset.has_rule
    assert dataset.requests >= MIN_REQUESTS
    if step.new > step.old:
        assert dataset.reports_changes
        assert not dataset.relative


def told_dataset(**values: float) -> Dataset:
    uses = [Use(1, 1, **(dict.fromkeys(("stale", "cold", "invalidated", "evicted"), 0.0) | {
        "hits": 500.0, "expired": 300.0, "bytes_written": 1e6, "cost": 2.0} | values))]  # fmt: skip
    return Dataset(1, uses, ("table:1:a",), relative=False, reports_changes=True, timeout=900.0, grace=0.0)


BOUNDS: Any = SimpleNamespace(tune_min_timeout=60, tune_max_timeout=86_400, tune_max_grace=3600)


def test_grace_follows_where_the_timeout_has_nothing_to_give() -> None:
    """Intent: first what spares the database, then what spares people the waiting."""
    dataset = told_dataset()
    step = best([dataset], situation(dataset.uses, [dataset]), BOUNDS)
    assert step is not None
    assert (step.setting, step.new) == ("timeout", 7200)
    at_its_bound: Any = SimpleNamespace(tune_min_timeout=60, tune_max_timeout=900, tune_max_grace=3600)
    step = best([dataset], situation(dataset.uses, [dataset]), at_its_bound)
    assert step is not None
    assert (step.setting, step.new) == ("grace", 60)


def test_a_shorter_life_where_memory_is_short_and_nobody_reads_twice() -> None:
    """Intent: where answers are thrown out nothing lives longer, and what takes room for nobody makes it."""
    dataset = told_dataset(evicted=300.0)
    assert best([dataset], situation(dataset.uses, [dataset]), BOUNDS) is None
    for told_of in (True, False):
        idle = told_dataset(hits=20.0, expired=5.0, cold=2000.0, evicted=300.0)
        idle.id, idle.reports_changes = 2, told_of
        step = best([dataset, idle], situation([*dataset.uses, *idle.uses], [dataset, idle]), BOUNDS)
        assert step is not None
        assert (step.dataset_id, step.setting, step.new) == (2, "timeout", 112.5)


tags = st.lists(
    st.sampled_from(["all", "any", "tables:1", "table:1:a", "table:1:b", "dataset:1", "dataset:2"]), unique=True
)
seconds = st.none() | st.floats(0, 200_000)


@given(tags, tags, seconds, seconds, st.integers(0, 100_000), st.integers(0, 100_000))
def test_no_answer_lives_longer_unless_its_changes_are_told(
    carried: list[str], heard: list[str], timeout: float | None, grace: float | None, own: int, passed: int
) -> None:
    """Intent: whatever a dataset is granted, an answer of it with another table in it keeps the life it has."""
    settings = load({"SUPERSET_EXT_CHART_DATA_TIMEOUT": str(own)})
    tuned.put({1: Tuned(timeout, grace)}, heard)
    plain = by_settings(settings, None, passed * 1000)
    lifetime = tuned.lifetime(settings, 1, carried, passed * 1000)
    if passed != own:
        assert lifetime == plain
    elif not are_told(carried, heard):
        assert lifetime[0] <= plain[0]
        assert lifetime[1] <= plain[1]
    assert tuned.lifetime(settings, 2, carried, passed * 1000) == plain


@pytest.mark.parametrize(
    ("carried", "known"),
    [
        (["all", "dataset:1", "table:1:a"], True),
        (["all", "dataset:1", "table:1:a", "table:1:b"], False),
        (["all", "dataset:9", "table:1:b"], True),
        (["all", "dataset:9", "dataset:1", "table:1:b"], False),
        (["all", "dataset:9", "table:1:a", "tables:1"], False),
        (["all", "any"], False),
        (["all"], False),
    ],
)
def test_whose_changes_are_told(carried: list[str], known: bool) -> None:
    """Intent: all of the tables that an answer reads, or all of the datasets that it is of."""
    assert are_told(carried, {"table:1:a", "dataset:9"}) is known


def test_more_traffic_is_no_merit() -> None:
    """Intent: what twice the readers bring is not put to a step's account, and half of them is no fault of it."""
    before = Use(1, 1, hits=500, stale=0, cold=9, expired=100, invalidated=0, evicted=0, bytes_written=0, cost=1.0)
    twice, half = replace(before, hits=1000.0), replace(before, hits=250.0)
    for after in (twice, half):
        comparison = effect(1, "timeout", Window(60, [before]), Window(60, [after]))
        share = after.requests / before.requests
        assert comparison.before == pytest.approx(500, rel=0.01)
        assert comparison.after / comparison.before == pytest.approx(1.0, abs=0.1), share


def test_what_others_lose_counts() -> None:
    """Intent: a longer life that throws others' answers out is harm, however well its own dataset does."""
    own = Use(1, 1, hits=500, stale=0, cold=0, expired=100, invalidated=0, evicted=0, bytes_written=0, cost=1.0)
    other = replace(own, dataset_id=2, hits=500.0, expired=0.0)
    robbed = replace(other, hits=100.0, evicted=400.0)
    comparison = effect(
        1, "timeout", Window(60, [own, other]), Window(60, [replace(own, hits=590.0, expired=10.0), robbed])
    )
    assert comparison.after < comparison.before


@pytest.fixture
def url(valkey: Valkey) -> str:
    client_of(f"redis://127.0.0.1:{valkey.port}").flushall()
    return f"redis://127.0.0.1:{valkey.port}"


SOURCE = SimpleNamespace(
    name="Sales",
    database=SimpleNamespace(database_name="warehouse", db_engine_spec=SimpleNamespace(engine="postgresql")),
)


def lives(cache: RegionCache, url: str, seconds: float, dataset_id: int = 1, key: str = "", **set_: Any) -> bool:
    """Whether Redis keeps what is stored now for so long, grace included, by its own clock.

    Unless it is given, the key is a new one: a process that stalls may not store over what was read a moment before.
    """
    client, key = client_of(url), key or uuid4().hex
    with running(Scope(dataset_id=dataset_id, database_id=1), SOURCE):
        cache.get(key)
        before = _now(client)
        assert cache.set(key, ORDERS, **set_)
    return bool(before <= client.pexpiretime(f"chart_{key}") - seconds * 1000 <= _now(client))


def _now(client: redis.Redis) -> int:
    """The server's clock, in milliseconds."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def heard(database: LogDatabase, **values: float) -> Overrides:
    now = database.rows("SELECT now() AS now")[0]["now"]
    for setting, value in values.items():
        overrides.write(database.rows, 1, setting, value, now)  # type: ignore[arg-type]
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO superset_ext.cache_watch (database_id, schema_name, table_name) VALUES (1, 'public', 'orders')"
        )
    return Overrides(database)


def test_what_is_set_reaches_a_region(database: LogDatabase, url: str) -> None:
    """Intent: from a row of the log to the time that Redis keeps an answer, of that dataset alone."""
    cache = make_region(url)
    assert lives(cache, url, 900)
    heard(database, timeout=7200, grace=600).flush()
    assert lives(cache, url, 7800)
    assert lives(cache, url, 900, dataset_id=2)


def test_an_answer_goes_when_its_data_changes_however_long_it_may_live(database: LogDatabase, url: str) -> None:
    """Intent: a longer life changes nothing in who sees a change when."""
    cache = make_region(url)
    heard(database, timeout=7200).flush()
    assert lives(cache, url, 7200, key="k")
    assert cache.get("k")
    Freshness(lambda: cache, lambda _database, tables: tables, None).changed(
        Change("webhook", "data_update", tables=[SourceTable(1, Table("public", "orders"))])
    )
    assert cache.get("k") is None


def test_what_people_have_set_wins(database: LogDatabase, url: str) -> None:
    """Intent: a rule, and a timeout of the chart, the dataset or the database, stand whatever tuning says."""
    heard(database, timeout=7200, grace=600).flush()
    ruled = make_region(url, RULES=json.dumps([{"name": "r", "dataset": 1, "timeout": 100}]))
    assert lives(ruled, url, 100)
    assert lives(make_region(url), url, 300, timeout=300)


def test_a_table_that_nobody_tells_of_keeps_its_life(database: LogDatabase, url: str) -> None:
    """Intent: a dataset may be asked so that it reads another table; that answer gets no longer life, but a shorter."""
    cache = make_region(url)
    overriding = heard(database, timeout=7200)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM superset_ext.cache_watch")
    overriding.flush()
    assert lives(cache, url, 900)
    overrides.write(database.rows, 1, "timeout", 120, datetime.now(UTC))
    Overrides(database).flush()
    assert lives(cache, url, 120)


def test_a_process_that_hears_nothing_goes_by_the_settings(
    database: LogDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: what was taken back meanwhile must not live on in a process that the log does not reach."""
    cache = make_region(url)
    heard(database, timeout=7200).flush()
    later = tuned.clock() + GOOD_FOR_SECONDS + 1
    monkeypatch.setattr(tuned, "clock", lambda: later)
    assert lives(cache, url, 900)


def test_a_process_looks_now_and_then(database: LogDatabase) -> None:
    """Intent: the flusher is called every few seconds, and asks the log every half minute."""
    at = [0.0]
    heard(database, timeout=7200)
    asks = Overrides(database, clock=lambda: at[0])
    settings, tags_ = tuning(), ["all", "table:1:public.orders"]

    def fresh() -> int:
        asks.flush()
        return tuned.lifetime(settings, 1, tags_, 900_000)[0]

    assert fresh() == 7_200_000
    overrides.write(database.rows, 1, "timeout", None, datetime.now(UTC))
    at[0] = EVERY_SECONDS - 1
    assert fresh() == 7_200_000
    at[0] = EVERY_SECONDS
    assert fresh() == 900_000
