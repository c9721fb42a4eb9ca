"""Runs and their items on a real database: one run of one thing, each item with one worker at a time."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from superset_ext.cli.warm import report
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable, WarmError
from superset_ext.host.people import Identity
from superset_ext.settings import Targets
from superset_ext.warm.registry import worth
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.items import Item

ANN = Identity(1)
PATIENCE = 120.0  # seconds; a test that waits longer has failed
DUE = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
OLD = "UPDATE superset_ext.cache_warm_item SET lease_until = now() - interval '1 second' WHERE lease = %s"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease ends but those that a test has ended."""
    monkeypatch.setattr(items, "LEASE_SECONDS", 3600)


def targets(**named: Any) -> Targets:
    return Targets.model_validate(named)


def change(database: LogDatabase, sql: str, values: tuple[Any, ...] = ()) -> None:
    with database.transaction() as cursor:
        cursor.execute(sql, values)


def started(database: LogDatabase, planned: Sequence[Item], **named: Any) -> str:
    """A run of these items that a worker has planned."""
    run_id, new = runs.create(database, targets(**named or {"charts": (1,)}), "test")
    assert new
    with database.transaction() as cursor:
        assert items.add(cursor, run_id, planned) == len(planned)
        cursor.execute(
            "UPDATE superset_ext.cache_warm_run SET state = 'running', started_at = now() WHERE run_id = %s", (run_id,)
        )
    return run_id


def item(source: int | None = None, cost_ms: float | None = 100.0, **values: Any) -> Item:
    return Item("replay", ANN, values.pop("fingerprint", "f"), database_id=source, cost_ms=cost_ms, **values)


def lease() -> str:
    return str(uuid4())


def rows(database: LogDatabase, run_id: str) -> list[dict[str, Any]]:
    return database.rows("SELECT * FROM cache_warm_item WHERE run_id = %s ORDER BY ordinal", (run_id,))


def states(database: LogDatabase, run_id: str) -> list[str]:
    return [row["state"] for row in rows(database, run_id)]


def test_two_clicks_make_one_run(database: LogDatabase) -> None:
    """Intent: what is under way already is not begun again; what has ended is."""
    first, new = runs.create(database, targets(charts=(1, 2)), "cli")
    assert new
    assert runs.create(database, targets(charts=(1, 2)), "api") == (first, False)
    assert runs.create(database, targets(charts=(2, 1)), "api")[1]
    assert runs.fail(database, first, "it is over")
    again, new = runs.create(database, targets(charts=(1, 2)), "api")
    assert new and again != first
    assert Targets.model_validate(runs.status(database, again)["options"]) == targets(charts=(1, 2))


def test_two_beats_make_one_run(database: LogDatabase) -> None:
    """Intent: one moment of a schedule is one run, also after that has ended; the next one is another."""
    named = targets(charts=(1,))
    first, _ = runs.create(database, named, "beat", "nightly", DUE)
    assert runs.create(database, named, "beat", "nightly", DUE) == (first, False)
    assert runs.fail(database, first, "it is over")
    assert runs.create(database, named, "beat", "nightly", DUE) == (first, False)
    assert runs.create(database, targets(charts=(2,)), "beat", "nightly", DUE) == (first, False)
    assert runs.create(database, named, "beat", "nightly", DUE.replace(day=3))[1]


def test_many_who_ask_at_once_get_one_run(log_url: str, database: LogDatabase) -> None:
    """Intent: it is the database that decides, not who looked first."""
    begin = threading.Barrier(8)

    def ask(_: int) -> tuple[str, bool]:
        own = LogDatabase(log_url)
        begin.wait(PATIENCE)
        return runs.create(own, targets(charts=(1,)), "api")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert len({run_id for run_id, _ in answers}) == 1
    assert [new for _, new in answers].count(True) == 1


def test_there_is_no_run_by_another_name(database: LogDatabase) -> None:
    """Intent: a run that is not there is said so, not shown empty."""
    with pytest.raises(WarmError, match="there is no warming run"):
        runs.status(database, lease())


def test_items_are_taken_in_order(database: LogDatabase) -> None:
    """Intent: what is worth most goes first, and an item comes out as it went in."""
    made = [item(fingerprint=f"f{n}", dashboard_id=n, chart_id=n + 1) for n in range(5)]
    run = started(database, made)
    taken = items.claim(database, run, lease(), 3, 9) + items.claim(database, run, lease(), 9, 9)
    assert [one.ordinal for one in taken] == [1, 2, 3, 4, 5]
    assert [(one.fingerprint, one.dashboard_id, one.chart_id, one.cost_ms, one.identity) for one in taken] == [
        (one.fingerprint, one.dashboard_id, one.chart_id, one.cost_ms, one.identity) for one in made
    ]
    assert {one.attempts for one in taken} == {1}
    assert items.claim(database, run, lease(), 9, 9) == []


def test_a_source_database_has_its_limit_over_all_runs(database: LogDatabase) -> None:
    """Intent: two runs together ask one source database no more at a time than one would; where no source is
    known there is no limit, and a lease that is over counts no more."""
    one = started(database, [item(7), item(7), item(7), item(8), item(None)], charts=(1,))
    two = started(database, [item(7), item(7), item(8), item(8)], charts=(2,))
    mine = lease()
    assert [taken.database_id for taken in items.claim(database, one, mine, 9, 2)] == [7, 7, 8, None]
    [other] = items.claim(database, two, lease(), 9, 2)
    assert other.database_id == 8
    assert items.claim(database, two, lease(), 9, 2) == []
    [first, *_] = [row for row in rows(database, one) if row["database_id"] == 7]
    assert items.finish(database, one, mine, item(7, ordinal=first["ordinal"]), "warmed")
    [freed] = items.claim(database, two, lease(), 9, 2)
    assert freed.database_id == 7
    assert items.claim(database, one, lease(), 9, 2) == []
    change(database, OLD, (mine,))
    assert [taken.database_id for taken in items.claim(database, two, lease(), 9, 2)] == [7, 8]


def test_no_item_is_taken_twice_whoever_claims_at_once(log_url: str, database: LogDatabase) -> None:
    """Intent: eight workers share a run; each item is asked once, and no source more than its limit at a time."""
    run = started(database, [item(n % 3) for n in range(60)])
    begin = threading.Barrier(8)
    taken: list[int] = []
    busiest: list[int] = []
    guard = threading.Lock()
    running: Counter[int] = Counter()

    def work(_: int) -> None:
        own, mine = LogDatabase(log_url), lease()
        begin.wait(PATIENCE)
        while len(taken) < 60:
            got = items.claim(own, run, mine, 3, 2)
            with guard:
                taken.extend(one.ordinal for one in got)
                running.update(one.database_id or 0 for one in got)
                busiest.append(max(running.values(), default=0))
            for one in got:
                with guard:  # it counts no more before it is given back, so that nothing is counted twice
                    running[one.database_id or 0] -= 1
                assert items.finish(own, run, mine, one, "warmed")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(taken) == list(range(1, 61))
    assert max(busiest) in (1, 2)
    assert set(states(database, run)) == {"warmed"}


def test_what_a_dead_worker_held_is_taken_by_another(database: LogDatabase) -> None:
    """Intent: a lease that is not renewed is over, and who had it changes nothing any more."""
    run = started(database, [item(), item()])
    dead, alive = lease(), lease()
    [held, other] = items.claim(database, run, dead, 2, 9)
    assert items.claim(database, run, alive, 2, 9) == []
    change(database, OLD + " AND ordinal = 1", (dead,))
    [again] = items.claim(database, run, alive, 2, 9)
    assert (again.ordinal, again.attempts) == (held.ordinal, 2)
    before = rows(database, run)
    more = [item(fingerprint="more")]
    assert not items.finish(database, run, dead, held, "failed", reason="late", ms=5.0, database_id=9, more=more)
    items.renew(database, run, lease())
    assert rows(database, run) == before
    assert items.finish(database, run, alive, again, "warmed", ms=7.0)
    assert not items.finish(database, run, alive, again, "failed", reason="twice")
    assert items.finish(database, run, dead, other, "fresh")
    assert states(database, run) == ["warmed", "fresh"]


def test_a_lease_that_nobody_else_took_is_still_good(database: LogDatabase) -> None:
    """Intent: work that was done is not thrown away only because its worker was slow; renewed, it is not taken."""
    run = started(database, [item(), item()])
    slow = lease()
    [first, second] = items.claim(database, run, slow, 2, 9)
    change(database, OLD, (slow,))
    assert items.finish(database, run, slow, first, "warmed")
    items.renew(database, run, slow)
    assert items.claim(database, run, lease(), 2, 9) == []
    assert items.finish(database, run, slow, second, "warmed")


def test_what_is_put_back_waits_its_time(database: LogDatabase) -> None:
    """Intent: after a fault that passes an item is tried again, not at once, and not as something that ended."""
    run = started(database, [item()])
    mine = lease()
    [held] = items.claim(database, run, mine, 1, 9)
    assert items.finish(database, run, mine, held, "queued", reason="the database was restarting", wait=60.0)
    [row] = rows(database, run)
    assert (row["state"], row["reason"], row["lease"], row["finished_at"]) == (
        "queued", "the database was restarting", None, None,
    )  # fmt: skip
    assert items.claim(database, run, lease(), 1, 9) == []
    assert not runs.close(database, run)
    change(database, "UPDATE superset_ext.cache_warm_item SET not_before = now()")
    [again] = items.claim(database, run, mine, 1, 9)
    assert again.attempts == 2
    assert rows(database, run)[0]["reason"] is None


def test_finishing_learns_the_source_and_adds_what_follows(database: LogDatabase) -> None:
    """Intent: a discovered page brings its requests to the run that asked for it, after what is there."""
    run = started(database, [Item("discover", ANN, page="dashboard:1"), item(3)])
    mine = lease()
    [page, known] = items.claim(database, run, mine, 2, 9)
    more = [item(fingerprint="a"), item(fingerprint="b")]
    assert items.finish(database, run, mine, page, "warmed", more=more, database_id=5)
    assert items.finish(database, run, mine, known, "warmed", database_id=5)
    added = [(row["ordinal"], row["fingerprint"], row["database_id"], row["state"]) for row in rows(database, run)]
    assert added == [
        (1, None, 5, "warmed"),
        (2, "f", 3, "warmed"),
        (3, "a", None, "queued"),
        (4, "b", None, "queued"),
    ]


def test_a_page_that_was_opened_is_no_request(database: LogDatabase) -> None:
    """Intent: a run of two requests is one of two, however they were learned; a page that could not be opened fails."""
    run = started(database, [Item("discover", ANN, page="dashboard:1"), Item("discover", ANN, page="dashboard:2")])
    mine, names = lease(), ("total", "done", "warmed", "failed", "pages")
    first, second = items.claim(database, run, mine, 2, 9)
    assert [runs.status(database, run)[name] for name in names] == [0, 0, 0, 0, 0]
    assert items.finish(database, run, mine, first, "warmed", more=[item(fingerprint="a"), item(fingerprint="b")])
    assert items.finish(database, run, mine, second, "failed", reason="no browser")
    assert [runs.status(database, run)[name] for name in names] == [3, 1, 0, 1, 1]
    for one in items.claim(database, run, mine, 2, 9):
        assert items.finish(database, run, mine, one, "warmed")
    status = runs.status(database, run)
    assert [status[name] for name in names] == [3, 3, 2, 1, 1]
    lines = report({**status, "seconds": 4.0})
    assert lines.startswith("3 requests in 4 s: 2 warmed, 0 already fresh, 1 failed; 1 page opened to learn what to ")


def test_a_run_closes_when_nothing_is_open(database: LogDatabase) -> None:
    """Intent: a run ends once, by whoever finishes its last item, and not while one is held."""
    run = started(database, [item(), item()])
    mine = lease()
    [first, second] = items.claim(database, run, mine, 2, 9)
    assert items.finish(database, run, mine, first, "failed", reason="x")
    assert not runs.close(database, run)
    assert items.finish(database, run, mine, second, "warmed")
    assert runs.close(database, run)
    assert not runs.close(database, run)
    assert runs.status(database, run)["state"] == "done"
    assert runs.status(database, run)["finished_at"] is not None


def test_a_run_that_is_not_planned_yet_does_not_close(database: LogDatabase) -> None:
    """Intent: no items yet is not no items left."""
    run, _ = runs.create(database, targets(charts=(1,)), "api")
    assert not runs.close(database, run)
    assert runs.status(database, run)["state"] == "queued"


def test_a_run_fails_once(database: LogDatabase) -> None:
    """Intent: the first reason is the one that stays, be the run queued or running, and no time is left then."""
    queued, _ = runs.create(database, targets(charts=(1,)), "api")
    running = started(database, [item()], charts=(2,))
    assert runs.fail(database, queued, "no worker")
    assert runs.fail(database, running, "it could not go on")
    assert not runs.fail(database, queued, "again")
    assert not runs.fail(database, running, "again")
    statuses = [runs.status(database, run_id) for run_id in (queued, running)]
    assert [(status["state"], status["reason"], status["seconds_left"]) for status in statuses] == [
        ("failed", "no worker", 0.0), ("failed", "it could not go on", 0.0),
    ]  # fmt: skip


def test_status_says_where_a_run_is_at(database: LogDatabase) -> None:
    """Intent: the numbers of a run add up: what was left out as fresh is done, each failure has its reason and its
    place, and the time left goes by the cost of what is left."""
    made = [item(cost_ms=cost, dashboard_id=n, chart_id=n + 10) for n, cost in enumerate([100, 200, 300, 50, 350, 50])]
    run = started(database, made)
    change(
        database,
        "UPDATE superset_ext.cache_warm_run SET fresh = 4, left_out = 2, started_at = now() - interval '60 s'",
    )
    status = runs.status(database, run)
    assert (status["total"], status["done"], status["already_fresh"], status["seconds_left"]) == (10, 4, 4, None)
    mine = lease()
    taken = items.claim(database, run, mine, 5, 9)
    for one, (state, reason) in zip(
        taken, [("warmed", None), ("failed", "timeout"), ("failed", "timeout"), ("failed", "gone")], strict=False
    ):
        assert items.finish(database, run, mine, one, state, reason=reason)  # type: ignore[arg-type]
    status = runs.status(database, run)
    [now] = database.rows("SELECT extract(epoch FROM now() - started_at) AS seconds FROM cache_warm_run")
    names = ("state", "total", "done", "warmed", "already_fresh", "failed", "left_out")
    assert [status[name] for name in names] == ["running", 10, 8, 1, 4, 3, 2]
    assert status["failures"] == [
        {"reason": "timeout", "items": 2, "dashboards": [1, 2], "charts": [11, 12]},
        {"reason": "gone", "items": 1, "dashboards": [3], "charts": [13]},
    ]
    # 650 ms of cost took 60 seconds; 400 ms are left.
    assert 60 <= status["seconds"] <= round(float(now["seconds"]), 1)
    assert status["seconds_left"] == pytest.approx(status["seconds"] * 400 / 650, abs=0.2)
    assert json.loads(json.dumps(status, default=str))["run_id"] == run


def test_time_left_goes_by_number_where_no_cost_is_known(database: LogDatabase) -> None:
    """Intent: a first run, of which nothing is known, has an estimate all the same."""
    run = started(database, [item(cost_ms=None) for _ in range(4)])
    change(database, "UPDATE superset_ext.cache_warm_run SET started_at = now() - interval '30 s'")
    mine = lease()
    [first] = items.claim(database, run, mine, 1, 9)
    assert items.finish(database, run, mine, first, "warmed")
    status = runs.status(database, run)
    assert status["seconds_left"] == pytest.approx(3 * status["seconds"], abs=0.2)


ODD = ["plain", 'say "x"', "a,b", "two\nlines", "back\\slash", "\\N", "\\.", "tab\tbed", " spaced ", "é中\U0001f600",
       "{}", "NULL", "'; DROP TABLE x; --", "%s %(run)s", '""', ","]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        *ODD,
        # No page or reason of ours has one today.
        "carriage\rreturn",
    ],
)
def test_text_of_any_kind_survives_the_way_in(database: LogDatabase, text: str) -> None:
    """Intent: what a guest is called, or a page, breaks no line of the copy and comes back as it was."""
    run = started(database, [item(), Item("replay", ANN, text, text)])
    [_, row] = rows(database, run)
    assert (row["page"], row["fingerprint"], row["user_id"]) == (text, text, 1)


@pytest.mark.parametrize("text", [*ODD, "carriage\rreturn", ""])
def test_a_guest_survives_the_way_in_and_out(database: LogDatabase, text: str) -> None:
    """Intent: a claim is asked with as it was given: the same guest, by the same name."""
    guest = Identity.of_claims(
        {"user": {"username": text, text: [text]}, "resources": [{"id": text}], "rls_rules": [{"clause": text}]}
    )
    run = started(database, [Item("replay", guest, "f"), Item("replay", Identity(), "f")])
    [first, second] = items.claim(database, run, lease(), 2, 9)
    assert (first.identity, first.identity.name) == (guest, guest.name)
    assert second.identity == Identity()
    assert [row["identity"] for row in rows(database, run)] == [guest.name, "anonymous"]


def test_a_run_of_many_items_is_added_at_once(database: LogDatabase) -> None:
    """Intent: a plan of tens of thousands is written within a statement's time, and later ones go after it."""
    run = started(database, [item(n % 5) for n in range(20_000)])
    with database.transaction() as cursor:
        assert items.add(cursor, run, [item()]) == 1
        assert items.add(cursor, run, []) == 0
    [row] = database.rows("SELECT count(*) AS n, max(ordinal) AS last FROM cache_warm_item")
    assert row == {"n": 20_001, "last": 20_001}
    assert len(items.claim(database, run, lease(), 10, 2)) == 10


def test_a_late_finish_and_a_claim_do_not_block_each_other(
    log_url: str, database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: one of both is first, the other one comes after it."""
    run = started(database, [Item("discover", ANN, page="dashboard:1")])
    slow = lease()
    [page] = items.claim(database, run, slow, 1, 9)
    change(database, OLD, (slow,))
    errors: list[LogUnavailable] = []

    def take() -> None:
        try:
            items.claim(LogDatabase(log_url), run, lease(), 1, 9)
        except LogUnavailable as error:
            errors.append(error)

    claiming = threading.Thread(target=take)

    def between(*_: Any) -> int:
        """Begin a claim, and go on when it waits for us."""
        claiming.start()
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
        until = time.monotonic() + PATIENCE
        while claiming.is_alive() and not database.rows(waiting)[0]["n"]:
            assert time.monotonic() < until
        return 0

    monkeypatch.setattr(worth, "add_stored", between)
    try:
        assert items.finish(database, run, slow, page, "warmed", more=[item()])
    finally:
        claiming.join(PATIENCE)
    if errors:
        raise errors[0]
