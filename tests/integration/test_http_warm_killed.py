"""A worker that is killed in the middle of a run: another one ends it, and nothing runs twice at the same time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.state import StateDir
from superset_ext.host.people import Identity
from superset_ext.settings import load
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, discovered_use
from superset_ext.warm.run import runs
from superset_ext.warm.service import QUEUE
from testing.charts import Chart, database_id
from testing.serving import Client, worker
from testing.warming import rows, until, warm

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]
ITEMS = 12
# It holds a lock of its number: a second one at the same time is an error, and so a failed item. From the third one on
# it waits while the test holds another lock.
ONCE = """
CREATE SEQUENCE public.{name};
CREATE OR REPLACE FUNCTION public.{name}(number integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT pg_try_advisory_lock(4711, number) THEN
        RAISE EXCEPTION 'number % ran twice at the same time', number;
    END IF;
    IF nextval('public.{name}') > 2 THEN
        PERFORM pg_advisory_xact_lock_shared(4711);
    END IF;
    PERFORM pg_advisory_unlock(4711, number);
    RETURN number;
END $$
"""


@dataclass
class Slow:
    """A dataset whose queries can be held, and as many registered requests over it as the test has items."""

    stack: Any
    dataset: int
    name: str


@pytest.fixture
def slow(superset_stack: Any) -> Iterator[Slow]:
    name = f"warm_once_{uuid.uuid4().hex[:8]}"
    _run(superset_stack.examples_url, ONCE.format(name=name))
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    database = database_id(client)
    body = {"database": database, "schema": "public", "table_name": name, "sql": "SELECT 1 AS n"}
    made = client.post("/api/v1/dataset/", json=body)
    assert made.status_code == 201, made.text
    dataset = int(made.json()["id"])
    _register(superset_stack, dataset, database, name)
    yield Slow(superset_stack, dataset, name)
    client.http.delete(f"{client.base}/api/v1/dataset/{dataset}")
    _run(superset_stack.examples_url, f"DROP FUNCTION public.{name}(integer); DROP SEQUENCE public.{name}")


@contextmanager
def _held(url: str) -> Iterator[None]:
    """No query ends within the block, but for the first two."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(4711)")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(4711)")


def _run(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)


def _register(stack: Any, dataset: int, database: int, function: str) -> None:
    (admin,) = rows(stack, "SELECT id FROM public.ab_user WHERE username = %s", (stack.user,))[0]
    uses = []
    for number in range(ITEMS):
        body = Chart(dataset, limit=number + 1).body()
        metric = {"expressionType": "SQL", "sqlExpression": f"MAX({function}({number}))", "label": "m"}
        body["queries"] = [{"columns": [], "metrics": [metric], "filters": [], "row_limit": 1}]
        request = ChartRequest("data", "/api/v1/chart/data", "", json.dumps(body))
        uses.append(discovered_use(request, Identity(admin), Ids(dataset=dataset, database=database)))
    with closing(LogDatabase(stack.database_url)) as log:
        tables.write(log, load({}), uses)


def test_a_killed_worker_s_run_is_ended_by_another(slow: Slow, tmp_path: Path) -> None:
    """Intent: SIGKILL in the middle of a run loses no item, and runs none twice at the same time."""
    options = ("--datasets", str(slow.dataset), "--concurrency", "2", "--batch-size", "4")
    warmer = psutil.Process(StateDir(slow.stack.state_dir).running()["parts"]["warmer"]["pid"])
    with ExitStack() as other:
        with _held(slow.stack.examples_url):
            started = warm(slow.stack, *options)
            run_id = started.stdout.rsplit(maxsplit=1)[-1].rstrip(".")
            until(lambda: _count(slow, run_id, "warmed") == 2 and _count(slow, run_id, "running") > 0)
            # The other one is there by then: a run that nobody consumes when its leases have ended fails.
            config = Path(slow.stack.env["SUPERSET_CONFIG_PATH"])
            other.enter_context(worker(config, slow.stack.env, tmp_path / "worker.log", QUEUE, "other"))
            for process in [*warmer.children(recursive=True), warmer]:
                process.kill()
        _age(slow.stack)
        done = until(lambda: _ended(slow, run_id))
    assert (done["warmed"], done["failed"], done["total"]) == (ITEMS, 0, ITEMS), done
    taken = rows(slow.stack, "SELECT max(attempts) FROM superset_ext.cache_warm_item WHERE run_id = %s", (run_id,))
    assert taken[0][0] == 2, "what the killed worker had was taken again, once"


def _age(stack: Any) -> None:
    """As if the lease and the patience that are left when a worker dies were over; the next tick sees to the run."""
    rows(stack, "UPDATE superset_ext.cache_warm_item SET lease_until = now() WHERE state = 'running'")
    rows(stack, "UPDATE superset_ext.cache_warm_run SET beat_at = now() - interval '1 minute' WHERE state = 'running'")


def _count(slow: Slow, run_id: str, state: str) -> int:
    query = "SELECT count(*) FROM superset_ext.cache_warm_item WHERE run_id = %s AND state = %s"
    return int(rows(slow.stack, query, (run_id, state))[0][0])


def _ended(slow: Slow, run_id: str) -> dict[str, Any] | None:
    with closing(LogDatabase(slow.stack.database_url)) as log:
        status = runs.status(log, run_id)
    return status if status["state"] in ("done", "failed") else None
