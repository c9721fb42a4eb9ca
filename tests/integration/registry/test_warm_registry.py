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
from superset_ext.host.people import Identity
from superset_ext.settings import Settings, load
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.registry import MAX_BODY, Registry
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, Use, discovered_use, hour_of_week
from testing.uses import ANN, BOB, SETTINGS, answer, ask, change, use

PATIENCE = 300.0  # seconds; a test that waits longer has failed


NOBODYS = Ids()


def settings(**knobs: str) -> Settings:
    return load({f"SUPERSET_EXT_{name.upper()}": value for name, value in knobs.items()})


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
