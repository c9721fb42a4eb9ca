"""Whether warmed entries are read: seconds that their first readers did not wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Answer, Stored
from superset_ext.settings import Targets
from superset_ext.warm.registry import worth
from superset_ext.warm.registry.registry import Registry
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.items import Item
from testing.uses import ANN, BOB, answer, change, use

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
