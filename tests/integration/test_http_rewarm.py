"""After a change, what people use of the dropped answers is warm again before they ask."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Targets, load
from superset_ext.warm.rewarm import rewarm
from superset_ext.warm.run.plan import plan
from superset_ext.warm.run.targets import Resolved
from superset_ext.warm.service import start
from testing.freshness import world
from testing.warming import rows, until

LOG, RUNS = "superset_ext.cache_invalidation_log", "superset_ext.cache_warm_run"
pytestmark = pytest.mark.timeout(900)
DRAINED = f"""
SELECT EXISTS (SELECT FROM {LOG} WHERE %s = ANY(tags))
    AND NOT EXISTS (SELECT FROM {LOG} WHERE rewarm_run_id IS NULL AND requests_affected > 0
        AND tags <> '{{any}}' AND created_at > now() - interval '15 minutes')
    AND NOT EXISTS (SELECT FROM {RUNS} WHERE state IN ('queued', 'running'))"""


def test_what_a_change_dropped_is_warm_again(superset_stack: Any) -> None:
    """Intent: the charts that read the table, and no other, are hits with the new numbers; the log says so."""
    settings = load(superset_stack.env | {"SUPERSET_EXT_REWARM": "true"})
    database, celery = LogDatabase(superset_stack.database_url), Celery(broker=f"{superset_stack.redis_url}/0")
    with world(superset_stack) as orders:
        names = ("table", "view", "join", "other")
        for name in names:
            orders.look(name)
        tag = f"table:{orders.database}:public.{orders.orders}"
        known = "SELECT count(*) FROM superset_ext.cache_request WHERE %s = ANY(tags)"
        until(lambda: rows(superset_stack, known, (tag,))[0][0] == 3)
        # A run for what other tests changed would warm these charts too, and leave nothing to the one looked at here.
        last = (f"dataset:{orders.datasets['join']}",)
        until(lambda: rewarm(celery, database, settings) is None and rows(superset_stack, DRAINED, last)[0][0])
        orders.add(5)
        body = {"tables": [{"database": "examples", "schema": "public", "table": orders.orders}]}
        assert orders.admin.post("/api/v1/performance/cache/invalidate", json=body).status_code == 200
        logged = f"SELECT rewarm_run_id, rewarmed, requests_affected FROM {LOG} WHERE %s = ANY(tags)"

        def followed() -> tuple[Any, ...] | None:
            rewarm(celery, database, settings)
            changes = rows(superset_stack, logged, (tag,))
            return changes[0] if changes and changes[0][0] else None

        run, _, affected = until(followed)
        ended = f"SELECT 1 FROM {RUNS} WHERE run_id = %s AND state = 'done' AND requested_by = 'rewarm'"
        until(lambda: rows(superset_stack, ended, (run,)))
        assert affected >= 3  # and whatever was asked of the database with SQL whose tables cannot be known
        assert {name: orders.look(name)[0] for name in names} == dict.fromkeys(names, True)
        assert orders.look("table")[1] == 6

        def counted() -> bool:  # the worker writes what it stored a few seconds after its run
            rewarm(celery, database, settings)
            return bool(rows(superset_stack, logged, (tag,))[0][1] >= 3)

        until(counted)


def test_nothing_is_warmed_that_is_not_asked_for(superset_stack: Any) -> None:
    """Intent: it is switched off unless a setting says otherwise."""
    database = LogDatabase(superset_stack.database_url)
    assert rewarm(Celery(broker="memory://"), database, load(superset_stack.env)) is None


def test_unused_answers_do_not_come_back(superset_stack: Any) -> None:
    """Intent: of entries that are kept for their use, those below it are not warmed again."""
    with world(superset_stack) as orders:
        for name in ("table", "view"):
            orders.look(name)
        tag = f"table:{orders.database}:public.{orders.orders}"
        known = "SELECT fingerprint FROM superset_ext.cache_request WHERE %s = ANY(tags)"
        known_requests = until(lambda: two if len(two := rows(superset_stack, known, (tag,))) == 2 else None)
        for (name,), needed in zip(known_requests, (1, 5), strict=True):
            change = "UPDATE superset_ext.cache_request SET tags = tags || %s WHERE fingerprint = %s"
            rows(superset_stack, change, ([f"usage:{needed}"], name))
        planned = plan(
            LogDatabase(superset_stack.database_url),
            load(superset_stack.env),
            Targets.model_validate({"changed": (tag,)}),
            Resolved(),
            seconds_left=lambda keys: [None] * len(keys),
        )
        assert [item.fingerprint for item in planned.items] == [known_requests[0][0]]


def test_a_deleted_dataset_is_not_asked_for_again(superset_stack: Any) -> None:
    """Intent: its charts' requests fail once, with the reason, and not each night until the registry forgets them."""
    database, celery = LogDatabase(superset_stack.database_url), Celery(broker=f"{superset_stack.redis_url}/0")
    with world(superset_stack) as orders:
        orders.look("table")
        tag = f"table:{orders.database}:public.{orders.orders}"
        known = "SELECT fingerprint FROM superset_ext.cache_request WHERE %s = ANY(tags)"
        ((fingerprint,),) = until(lambda: rows(superset_stack, known, (tag,)))
    run, _ = start(celery, database, Targets.model_validate({"changed": (tag,)}), "rewarm")
    reason = "SELECT state, reason FROM superset_ext.cache_warm_item WHERE run_id = %s AND fingerprint = %s"
    ended = f"SELECT 1 FROM {RUNS} WHERE run_id = %s AND finished_at IS NOT NULL"
    until(lambda: rows(superset_stack, ended, (run,)))
    assert rows(superset_stack, reason, (run, fingerprint)) == [("failed", "Datasource does not exist")]
    assert rows(superset_stack, known, (tag,)) == []
