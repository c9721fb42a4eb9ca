"""The registry on a real database: what was asked, by whom, when, and what came of warming it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Answer, Stored
from superset_ext.host.people import Identity
from superset_ext.settings import Settings, Targets, load
from superset_ext.warm.registry import tables, worth
from superset_ext.warm.registry.registry import MAX_BODY, Registry
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, Use, discovered_use, hour_of_week
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.items import Item

SETTINGS = load({})
PATIENCE = 300.0  # seconds; a test that waits longer has failed
ANN, BOB = Identity(1), Identity(2)
NOBODYS = Ids()


@pytest.fixture
def registry(database: LogDatabase) -> Registry:
    return Registry(database, SETTINGS)


def settings(**knobs: str) -> Settings:
    return load({f"SUPERSET_EXT_{name.upper()}": value for name, value in knobs.items()})


def ask(chart: int = 1, **query: Any) -> ChartRequest:
    body = json.dumps({"queries": [query], "form_data": {"slice_id": chart}})
    return ChartRequest("data", "/api/v1/chart/data", "", body)


def answer(key: str, hit: bool = True, cost_ms: float = 100.0, seconds: float | None = None) -> Answer:
    return Answer(key, hit, None if hit else Stored.STORED, cost_ms, seconds)


def use(
    who: Identity = ANN,
    *keys: str,
    chart: int = 1,
    request: ChartRequest | None = None,
    at: float | None = None,
    people: bool = True,
    hit: bool = True,
    cost_ms: float = 100.0,
) -> Use:
    answers = tuple(answer(key, hit, cost_ms) for key in keys or ("k",))
    return Use(request or ask(chart), who, answers, Ids(chart=chart), at or time.time(), people)


def change(database: LogDatabase, sql: str, values: tuple[Any, ...] = ()) -> None:
    with database.transaction() as cursor:
        cursor.execute(sql, values)


def one(database: LogDatabase, table: str = "cache_request") -> dict[str, Any]:
    [row] = database.rows(f"SELECT * FROM {table}")
    return row


def scopes(database: LogDatabase) -> list[tuple[Any, ...]]:
    rows = database.rows(
        "SELECT identity, cache_keys, round(uses::numeric, 3)::float AS uses FROM cache_access_scope ORDER BY 1, 2"
    )
    return [tuple(row.values()) for row in rows]


def test_a_request_is_written_whole(registry: Registry, database: LogDatabase) -> None:
    """Intent: what is needed to ask again is all there, and a request asked in two ways is one row."""
    first = ChartRequest("explore", "/superset/explore_json/", "a=1", '{"slice_id": 3, "x": 1}', True)
    again = ChartRequest("explore", "/superset/explore_json/", "a=1&force=true", '{"x": 1, "slice_id": 3}', True)
    for request in (first, again):
        registry.note(Use(request, ANN, (answer("k1"), answer("k2")), Ids(5, 3, 7, 9), time.time()))
    registry.flush()
    row = one(database)
    assert row["fingerprint"] == first.fingerprint()
    kept = {name: row[name] for name in ("kind", "path", "is_form", "replayable", "queries", "uses", "cost_ms")}
    assert kept == {
        "kind": "explore", "path": "/superset/explore_json/", "is_form": True, "replayable": True, "queries": 2,
        "uses": 2.0, "cost_ms": 200.0,
    }  # fmt: skip
    assert json.loads(row["body"]) == {"slice_id": 3, "x": 1}
    assert [row[f"{name}_id"] for name in ("dashboard", "chart", "dataset", "database")] == [5, 3, 7, 9]
    assert scopes(database) == [("user:1", ["k1", "k2"], 2.0)]


def test_ids_once_known_stay_and_the_cost_is_a_mean(database: LogDatabase) -> None:
    """Intent: a request outside of its dashboard does not take it from there; the last cost counts for a third,
    and an answer without a cost for nothing."""
    tables.write(database, SETTINGS, [Use(ask(), ANN, (answer("k", cost_ms=300.0),), Ids(5, 3, 7, 9), time.time())])
    tables.write(database, SETTINGS, [Use(ask(), ANN, (answer("k", cost_ms=600.0),), NOBODYS, time.time())])
    tables.write(database, SETTINGS, [Use(ask(), ANN, (answer("k", cost_ms=0.0),), NOBODYS, time.time())])
    row = one(database)
    assert [row[f"{name}_id"] for name in ("dashboard", "chart", "dataset", "database")] == [5, 3, 7, 9]
    assert row["cost_ms"] == pytest.approx(300 * 2 / 3 + 600 / 3)


def test_half_of_the_uses_is_gone_after_a_week(database: LogDatabase) -> None:
    """Intent: what was used long ago does not stand before what is used now."""
    tables.write(database, SETTINGS, [use() for _ in range(8)])
    change(database, "UPDATE superset_ext.cache_request SET used_at = used_at - interval '7 days'")
    change(database, "UPDATE superset_ext.cache_access_scope SET used_at = used_at - interval '14 days'")
    tables.write(database, SETTINGS, [use()])
    assert one(database)["uses"] == pytest.approx(8 / 2 + 1, abs=0.001)
    [(_, _, uses)] = scopes(database)
    assert uses == pytest.approx(8 / 4 + 1, abs=0.001)


def test_late_news_of_another_process_count_whole(database: LogDatabase) -> None:
    """Intent: a use that was noted before the last one, and is written after it, turns no clock back."""
    now = time.time()
    tables.write(database, SETTINGS, [use(at=now)])
    tables.write(database, SETTINGS, [use(at=now - 3600)])
    row = one(database)
    assert (row["uses"], row["used_at"].timestamp()) == (2.0, pytest.approx(now))
    assert row["last_seen"] == row["used_at"]


def test_uses_go_to_their_hour_of_the_week(database: LogDatabase) -> None:
    """Intent: what is opened on Monday mornings is warmed for Monday mornings; SQL counts hours from 1."""
    monday = datetime(2026, 3, 2, 8, 59, 59, tzinfo=UTC)
    sunday = datetime(2026, 3, 8, 23, 0, tzinfo=UTC)
    assert (hour_of_week(monday.timestamp()), hour_of_week(sunday.timestamp())) == (8, 167)
    tables.write(database, SETTINGS, [use(at=monday.timestamp()), use(at=monday.timestamp())])
    tables.write(database, SETTINGS, [use(at=(monday + timedelta(days=28)).timestamp())])
    tables.write(database, SETTINGS, [use(at=(sunday + timedelta(days=28)).timestamp())])
    [row] = database.rows("SELECT hours[9] AS monday, hours[168] AS sunday, cardinality(hours) AS n FROM cache_request")
    kept = 0.5 ** ((6 * 24 + 14 + 1 / 3600) / 24 / 28)
    assert row["n"] == 168
    assert (row["monday"], row["sunday"]) == (pytest.approx((2 * 0.5 + 1) * kept, rel=1e-4), 1.0)
    assert sum(one(database)["hours"]) == pytest.approx(row["monday"] + row["sunday"])


def test_warming_a_request_does_not_stop_its_profile_s_decay(database: LogDatabase) -> None:
    """Intent: hours are counted as of used_at, whoever moves that."""
    tables.write(database, SETTINGS, [use()])
    change(database, "UPDATE superset_ext.cache_request SET used_at = used_at - interval '28 days'")
    tables.write(database, SETTINGS, [use(people=False)])
    row = one(database)
    assert row["uses"] == pytest.approx(1 / 16, abs=0.001)
    assert sum(row["hours"]) == pytest.approx(0.5, abs=0.001)


def test_a_scope_has_one_row_with_who_had_it_last(database: LogDatabase) -> None:
    """Intent: a thousand users who read one entry are one replay, as somebody who can still ask."""
    tables.write(database, SETTINGS, [use(ANN, "a"), use(BOB, "a"), use(Identity(3), "b")])
    tables.write(database, SETTINGS, [use(Identity(4), "b")])
    assert scopes(database) == [("user:2", ["a"], 2.0), ("user:4", ["b"], 2.0)]


def test_who_moves_to_other_keys_leaves_nothing_behind(database: LogDatabase) -> None:
    """Intent: after a rule or a dataset changed, the old keys are not warmed as somebody who does not lead there;
    those of others stay."""
    tables.write(database, SETTINGS, [use(ANN, "old"), use(BOB, "other")])
    tables.write(database, SETTINGS, [use(ANN, "new"), use(ANN, "old", chart=2)])
    tables.write(database, SETTINGS, [use(ANN, "newer")])
    rows = database.rows("SELECT identity, cache_keys FROM cache_access_scope ORDER BY cache_keys")
    assert [tuple(row.values()) for row in rows] == [
        ("user:1", ["newer"]), ("user:1", ["old"]), ("user:2", ["other"]),
    ]  # fmt: skip


def test_who_moves_between_two_flushes_leaves_nothing_behind(database: LogDatabase) -> None:
    """Intent: that both uses are written at once is an accident."""
    now = time.time()
    tables.write(database, SETTINGS, [use(ANN, "old", at=now - 2), use(ANN, "new", at=now - 1)])
    assert [keys for _, keys, _ in scopes(database)] == [["new"]]


def test_a_discovered_request_is_nobody_s_use(database: LogDatabase) -> None:
    """Intent: what only a robot has asked is known and not wanted; once it is asked, its keys take the place."""
    tables.write(database, SETTINGS, [discovered_use(ask(), ANN, Ids(5, 1))])
    row = one(database)
    assert (row["uses"], row["hours"], row["cost_ms"], row["queries"]) == (0.0, [], None, 1)
    assert scopes(database) == [("user:1", [], 0.0)]
    tables.write(database, SETTINGS, [use(ANN, "k")])
    row = one(database)
    assert (row["uses"], len(row["hours"]), sum(row["hours"])) == (1.0, 168, 1.0)
    assert scopes(database) == [("user:1", ["k"], 1.0)]


def test_guests_are_kept_by_their_claims(database: LogDatabase) -> None:
    """Intent: a guest is asked as again by claims, never by a token; two with the same claims are one."""
    token = {"user": {"username": "é\n\"'"}, "resources": [{"id": "1"}], "rls_rules": [], "exp": 1, "iat": 2}
    guest = Identity.of_claims(token)
    tables.write(
        database, SETTINGS, [use(guest, "k"), use(Identity.of_claims({**token, "exp": 9}), "k"), use(Identity(), "l")]
    )
    rows = database.rows("SELECT identity, user_id, guest FROM cache_access_scope ORDER BY cache_keys")
    claims = {name: token[name] for name in ("user", "resources", "rls_rules")}
    assert [tuple(row.values()) for row in rows] == [(guest.name, None, claims), ("anonymous", None, None)]


def test_who_keeps_no_values_keeps_no_request_that_has_some(database: LogDatabase) -> None:
    """Intent: with warm_keep_values off, no filter value is written anywhere, and nobody plans to replay the rest."""
    keeping = settings(warm_keep_values="false")
    held = ask(1, filters=[{"col": "name", "op": "IN", "val": ["Ann"]}])
    plain = ask(2, filters=[], time_range="Last quarter")
    argued = ChartRequest("explore", "/superset/explore_json/", "form_data=%7B%22where%22%3A%22n%3D'Ann'%22%7D")
    tables.write(database, keeping, [use(request=held), use(request=plain, chart=2), use(request=argued, chart=3)])
    rows = database.rows("SELECT replayable, args, body, uses FROM cache_request ORDER BY chart_id")
    assert [tuple(row.values()) for row in rows] == [
        (False, "", None, 1.0), (True, "", plain.body, 1.0), (False, "", None, 1.0),
    ]  # fmt: skip
    [whole] = database.rows("SELECT string_agg(r::text, ' ') AS text FROM cache_request r")
    assert "Ann" not in whole["text"]


def test_values_go_when_they_are_not_to_be_kept_any_more(database: LogDatabase) -> None:
    """Intent: the setting holds for what is asked from now on, and for what was kept before when it is asked."""
    held = ask(1, filters=[{"col": "name", "op": "IN", "val": ["Ann"]}])
    tables.write(database, SETTINGS, [use(request=held)])
    assert one(database)["body"] == held.body
    tables.write(database, settings(warm_keep_values="false"), [use(request=held)])
    row = one(database)
    assert (row["body"], row["replayable"]) == (None, False)


def test_what_nobody_asks_is_forgotten(database: LogDatabase) -> None:
    """Intent: the registry holds the habits of now, and scopes go with their request."""
    bounds = settings(warm_registry_days="30")
    tables.write(database, bounds, [use(chart=1), use(chart=2)])
    change(
        database, "UPDATE superset_ext.cache_request SET last_seen = last_seen - interval '31 days' WHERE chart_id = 1"
    )
    assert tables.forget(database, bounds) == 1
    assert one(database)["chart_id"] == 2
    assert len(scopes(database)) == 1
    assert tables.forget(database, bounds) == 0


def test_of_too_many_the_most_used_stay(database: LogDatabase) -> None:
    """Intent: the bound on rows costs what is used least by now, not what came last."""
    bounds = settings(warm_registry_rows="100")
    tables.write(database, bounds, [use(chart=chart) for chart in range(1, 121) for _ in range(2 if chart > 60 else 1)])
    # Used four times as often, but a month ago.
    change(
        database,
        "UPDATE superset_ext.cache_request SET uses = 4, used_at = used_at - interval '28 days' WHERE chart_id > 110",
    )
    assert tables.forget(database, bounds) == 20
    kept = {row["chart_id"] for row in database.rows("SELECT chart_id FROM cache_request")}
    assert kept >= set(range(61, 111))
    assert not kept & set(range(111, 121))


def test_the_queue_is_bounded(
    registry: Registry, database: LogDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: a flood between two flushes costs memory for so many, and says how many it has cost."""
    monkeypatch.setattr(registry, "queue", BoundedQueue(10))
    for _ in range(25):
        registry.note(use())
    assert registry.queue.dropped == 15
    with caplog.at_level(logging.WARNING):
        registry.flush()
        registry.flush()
    assert [record.getMessage() for record in caplog.records if "15 requests" in record.getMessage()]
    assert len(caplog.records) == 1
    assert (registry.queue.dropped, one(database)["uses"]) == (15, 10.0)


def test_a_huge_request_is_not_remembered(registry: Registry, database: LogDatabase) -> None:
    """Intent: one request never costs the registry more than 256 KB."""
    fits, huge = (ChartRequest("data", "/", "", json.dumps("x" * size)) for size in (MAX_BODY - 2, MAX_BODY - 1))
    registry.note(use(request=fits))
    registry.note(use(request=huge))
    assert registry.queue.dropped == 1
    registry.flush()
    assert one(database)["fingerprint"] == fits.fingerprint()


def test_nothing_is_captured_where_that_is_off(database: LogDatabase) -> None:
    """Intent: with warm_capture off nothing about requests is written."""
    registry = Registry(database, settings(warm_capture="false"))
    registry.note(use())
    registry.flush()
    assert database.rows("SELECT * FROM cache_request") == []


def test_an_id_that_no_table_can_hold_costs_only_itself(registry: Registry, database: LogDatabase) -> None:
    """Intent: a made-up id costs its id, not the requests of everybody."""
    registry.note(use(chart=1))
    registry.note(use(chart=2**31))
    registry.flush()
    assert len(database.rows("SELECT * FROM cache_request")) == 2


def test_a_nul_costs_only_its_own_request(registry: Registry, database: LogDatabase) -> None:
    """Intent: Superset answers a GET whatever its body is; text in PostgreSQL has no NUL."""
    registry.note(use(chart=1))
    registry.note(use(request=ChartRequest("stored", "/api/v1/chart/7/data/", "", "\x00"), chart=7))
    registry.flush()
    assert 1 in {row["chart_id"] for row in database.rows("SELECT * FROM cache_request")}


def _write(url: str, seed: int, rounds: int, charts: int, begin: Any, errors: Any) -> None:
    """Of a process of its own: overlapping uses, in an order of its own, by a user of its own and one of all."""
    import random

    by = random.Random(seed)
    registry = Registry(LogDatabase(url), SETTINGS)
    begin.wait(PATIENCE)
    try:
        for _ in range(rounds):
            uses = [
                use(who, f"k{chart}-{who.name}", chart=chart)
                for chart in range(charts)
                for who in (ANN, Identity(seed))
            ]
            by.shuffle(uses)
            for one in uses:
                registry.note(one)
            registry.flush()
    except Exception as error:  # noqa: BLE001  (the test is told)
        errors.put(repr(error))
    else:
        errors.put("")


def test_processes_that_write_at_once_count_exactly(log_url: str, database: LogDatabase) -> None:
    """Intent: no use is lost and no process waits for another for ever, whatever they write in whatever order."""
    processes, rounds, charts = 4, 6, 60
    context = multiprocessing.get_context("spawn")
    begin, failures = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_write, args=(log_url, 10 + seed, rounds, charts, begin, failures))
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    errors = [failures.get(timeout=PATIENCE) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE)
    assert errors == [""] * processes
    rows = database.rows("SELECT uses, hours FROM cache_request")
    wanted = processes * rounds * 2
    assert len(rows) == charts
    assert all(row["uses"] == pytest.approx(wanted, abs=0.1) for row in rows)
    assert all(sum(row["hours"]) == pytest.approx(wanted, abs=0.1) for row in rows)
    by_scope = database.rows("SELECT identity, count(*) AS n, min(uses) AS low, max(uses) AS high"
                             " FROM cache_access_scope GROUP BY identity ORDER BY identity")  # fmt: skip
    assert [(row["identity"], row["n"]) for row in by_scope] == [
        ("user:1", charts), *((f"user:{10 + seed}", charts) for seed in range(processes)),
    ]  # fmt: skip
    for row, uses in zip(by_scope, (processes * rounds, *[rounds] * processes), strict=True):
        assert (row["low"], row["high"]) == (pytest.approx(uses, abs=0.1), pytest.approx(uses, abs=0.1))


# What warming was worth.


def warmed(
    database: LogDatabase, *keys: str, schedule: str | None = None, seconds: float = 3600.0, done: bool = True
) -> str:
    """A run that has stored entries of 100 ms under these keys."""
    due = datetime.now(UTC) if schedule else None
    charts = (int(time.time_ns() % 10**9),)
    run_id, _ = runs.create(database, Targets.model_validate({"charts": charts}), "test", schedule, due)
    with database.transaction() as cursor:
        items.add(cursor, run_id, [Item("replay", ANN, "f")])
        cursor.execute("UPDATE superset_ext.cache_warm_run SET state = 'running' WHERE run_id = %s", (run_id,))
    lease = "00000000-0000-0000-0000-000000000001"
    [item] = items.claim(database, run_id, lease, 1, 1)
    stored = [answer(key, hit=False, seconds=seconds) for key in keys]
    assert items.finish(database, run_id, lease, item, "warmed", answers=stored)
    if done:
        assert runs.close(database, run_id)
    return run_id


def figures(database: LogDatabase, run_id: str) -> tuple[Any, ...]:
    worth.settle(database)
    names = "entries, entries_read, spent_ms, saved_ms, settled"
    [row] = database.rows(f"SELECT {names} FROM cache_warm_run WHERE run_id = %s", (run_id,))
    return tuple(row.values())


def entry(database: LogDatabase, key: str, run_id: str | None = None) -> dict[str, Any]:
    [row] = database.rows(
        "SELECT * FROM cache_warm_entry WHERE cache_key = %s AND run_id = coalesce(%s, run_id)", (key, run_id)
    )
    return row


def test_an_entry_is_worth_what_its_first_reader_did_not_wait_for(database: LogDatabase) -> None:
    """Intent: later readers would have hit what the first one had stored, so each entry saves its cost once."""
    run = warmed(database, "a", "b")
    worth.count_reads(database, [use(ANN, "a"), use(BOB, "a"), use(ANN, "elsewhere")])
    worth.count_reads(database, [use(BOB, "a")])
    assert entry(database, "a")["reads"] == 3
    assert entry(database, "a")["first_read_at"] is not None
    assert figures(database, run) == (2, 1, 200.0, 100.0, False)


def test_what_is_read_after_its_end_is_not_worth_anything(database: LogDatabase) -> None:
    """Intent: only what was there because of warming counts: not before it was stored, not after it went."""
    warmed(database, "a", "b", "c")
    change(database, "UPDATE superset_ext.cache_warm_entry SET expires_at = now() - interval '1 second'"
                     " WHERE cache_key = 'b'")  # fmt: skip
    change(database, "UPDATE superset_ext.cache_warm_entry SET gone_at = now() WHERE cache_key = 'c'")
    worth.count_reads(database, [use(ANN, "a", at=time.time() - 60), use(ANN, "b"), use(ANN, "c")])
    assert [entry(database, key)["reads"] for key in "abc"] == [0, 0, 0]
    worth.count_reads(database, [use(ANN, "b", at=time.time() - 60)])
    assert entry(database, "b")["reads"] == 0


def test_a_read_that_is_told_late_counts(database: LogDatabase) -> None:
    """Intent: reads are written seconds after they were; one from within the entry's life is one."""
    warmed(database, "a")
    change(
        database,
        "UPDATE superset_ext.cache_warm_entry SET stored_at = now() - interval '60 s', expires_at = now() - interval"
        " '1 s'",
    )
    worth.count_reads(database, [use(ANN, "a", at=time.time() - 10)])
    assert entry(database, "a")["reads"] == 1


def test_who_misses_an_entry_marks_it_gone(database: LogDatabase) -> None:
    """Intent: what Redis evicted is not read any more: the next reader reads what the one who missed has stored."""
    run = warmed(database, "a")
    worth.count_reads(database, [use(ANN, "a", hit=False)])
    assert entry(database, "a")["gone_at"] is not None
    worth.count_reads(database, [use(BOB, "a")])
    assert entry(database, "a")["reads"] == 0
    assert figures(database, run) == (1, 0, 100.0, 0.0, True)


def test_a_hit_after_a_miss_in_one_flush_is_not_warming_s(database: LogDatabase) -> None:
    """Intent: that both are written at once is an accident."""
    warmed(database, "a")
    now = time.time()
    worth.count_reads(database, [use(ANN, "a", hit=False, at=now + 1), use(BOB, "a", at=now + 2)])
    assert entry(database, "a")["reads"] == 0


def test_a_hit_before_the_end_counts_beside_one_after_it(database: LogDatabase) -> None:
    """Intent: the one who read within the entry's life did not wait."""
    warmed(database, "a", seconds=10.0)
    now = time.time()
    worth.count_reads(database, [use(ANN, "a", at=now + 5), use(BOB, "a", at=now + 15)])
    assert entry(database, "a")["reads"] == 1


def test_a_later_run_takes_an_entry_over(database: LogDatabase) -> None:
    """Intent: of two runs that stored one key, readers read the last one's."""
    first, second = warmed(database, "a"), warmed(database, "a")
    worth.count_reads(database, [use(ANN, "a")])
    assert [entry(database, "a", run)["reads"] for run in (first, second)] == [0, 1]
    assert figures(database, first) == (1, 0, 100.0, 0.0, True)
    assert figures(database, second) == (1, 1, 100.0, 100.0, False)


def test_an_entry_that_its_run_stores_anew_lives_again(database: LogDatabase) -> None:
    """Intent: an evicted entry that a second item of the run restores is there."""
    run = warmed(database, "a")
    worth.count_reads(database, [use(ANN, "a", hit=False)])
    with database.transaction() as cursor:
        worth.add_stored(cursor, run, 1, [answer("a", hit=False, seconds=60.0)])
    worth.count_reads(database, [use(BOB, "a")])
    assert entry(database, "a")["reads"] == 1


def test_what_was_not_stored_is_no_entry(database: LogDatabase) -> None:
    """Intent: a hit, and a value that Redis refused, are nothing that warming has put there."""
    run = warmed(database, "a")
    refused = Answer("c", False, Stored.MEMORY, 10.0)
    with database.transaction() as cursor:
        assert worth.add_stored(cursor, run, 1, [answer("b"), refused]) == 0
        assert worth.add_stored(cursor, run, 1, [answer("d", hit=False, seconds=0.0)]) == 1
    assert database.rows("SELECT cache_key, expires_at IS NULL AS stays FROM cache_warm_entry ORDER BY 1") == [
        {"cache_key": "a", "stays": False}, {"cache_key": "d", "stays": True},
    ]  # fmt: skip


def test_a_schedule_that_nobody_reads_is_told_so(database: LogDatabase) -> None:
    """Intent: whoever pays for warming learns that it is for nobody, once all entries have gone and not before."""
    idle = warmed(database, "a", "b", schedule="nightly")
    read = warmed(database, "c", schedule="hourly")
    by_hand = warmed(database, "d")
    worth.count_reads(database, [use(ANN, "c")])
    assert worth.settle(database) == []
    change(database, "UPDATE superset_ext.cache_warm_entry SET expires_at = now() - interval '1 s'")
    [unread] = worth.settle(database)
    assert (str(unread["run_id"]), unread["schedule"], unread["entries"]) == (idle, "nightly", 2)
    reasons = {run: runs.status(database, run)["reason"] for run in (idle, read, by_hand)}
    assert reasons.pop(idle) == "warmed for nobody: none of its 2 entries was read before it went"
    assert set(reasons.values()) == {None}
    assert figures(database, read) == (1, 1, 100.0, 100.0, True)
    assert worth.settle(database) == []


def test_a_run_under_way_is_not_settled(database: LogDatabase) -> None:
    """Intent: the figures are final when nothing more can come."""
    run = warmed(database, "a", schedule="nightly", done=False)
    change(database, "UPDATE superset_ext.cache_warm_entry SET expires_at = now() - interval '1 s'")
    assert worth.settle(database) == []
    assert figures(database, run) == (1, 0, 100.0, 0.0, False)


def test_people_s_reads_reach_warmed_entries_by_the_flush(registry: Registry, database: LogDatabase) -> None:
    """Intent: what the registry notes of people counts for worth; what warming itself asks does not."""
    warmed(database, "a")
    registry.note(use(ANN, "a", people=False))
    registry.flush()
    assert entry(database, "a")["reads"] == 0
    registry.note(use(ANN, "a"))
    registry.flush()
    assert entry(database, "a")["reads"] == 1
