"""Over HTTP: whoever asks for the same chart at once waits for one query, and nobody waits within the grace."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import requests

from tests.charts import database_id
from tests.serving import Client, web
from tests.warming import until

pytestmark = pytest.mark.timeout(400)
SERVERS, THREADS, LEASE, QUERY_SECONDS = 2, 8, 3, 1.5
CONFIG = "from superset_ext.config import *\nWTF_CSRF_ENABLED = True\n"
TOTAL = {"expressionType": "SQL", "sqlExpression": "MAX(amount)", "label": "total"}


@dataclass
class Site:
    """Two web servers over one Redis, and a dataset whose query counts itself in a sequence of the source.

    Attributes:
        clients: eight of each server.
    """

    stack: Any
    mark: str
    clients: list[list[Client]] = field(default_factory=list)
    dataset: int = 0
    config: Path = Path()

    @property
    def sequence(self) -> str:
        return f"public.runs_{self.mark}"

    def body(self, limit: int, force: bool = False) -> dict[str, Any]:
        query = {"columns": [], "metrics": [TOTAL], "filters": [], "row_limit": limit}
        return {
            "datasource": {"id": self.dataset, "type": "table"}, "queries": [query], "force": force,
            "form_data": {"viz_type": "table"}, "result_type": "full", "result_format": "json",
        }  # fmt: skip

    def ask(self, client: Client, limit: int, force: bool = False) -> dict[str, Any]:
        """A chart's answer; the limit makes it one of its own."""
        answer = client.post("/api/v1/chart/data", json=self.body(limit, force))
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"][0])

    def runs(self) -> int:
        """How often the query has run."""
        with closing(psycopg2.connect(self.stack.examples_url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT last_value - (CASE WHEN is_called THEN 0 ELSE 1 END) FROM {self.sequence}")
            return int(cursor.fetchone()[0])  # type: ignore[index]

    def sql(self, statement: str) -> None:
        with closing(psycopg2.connect(self.stack.examples_url)) as connection, connection:
            connection.cursor().execute(statement)


@pytest.fixture(scope="module")
def site(superset_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("flight")
    made = Site(superset_stack, uuid.uuid4().hex[:8])
    made.sql(f"CREATE SEQUENCE {made.sequence}")
    env = superset_stack.env | {"SUPERSET_EXT_LEASE_SECONDS": str(LEASE)}
    with ExitStack() as servers:
        for number in range(SERVERS):
            config = folder / f"flight{number}_config.py"
            config.write_text(CONFIG)
            url = servers.enter_context(web(config, env, threads=THREADS))
            one = Client(url, superset_stack.user, superset_stack.password)
            made.clients.append([one] * THREADS)
        first = made.clients[0][0]
        # It counts itself when it begins, and then takes its time.
        one_run = f"(SELECT nextval('{made.sequence}') AS amount OFFSET 0) AS s"
        sql = f"SELECT s.amount FROM {one_run}, LATERAL pg_sleep({QUERY_SECONDS} + 0 * s.amount)"
        body = {"database": database_id(first), "schema": "public", "table_name": f"runs_{made.mark}", "sql": sql}
        created = first.post("/api/v1/dataset/", json=body)
        assert created.status_code == 201, created.text
        made.dataset = int(created.json()["id"])
        made.config = folder
        yield made
        first.http.delete(f"{first.base}/api/v1/dataset/{made.dataset}")
    made.sql(f"DROP SEQUENCE {made.sequence}")


def crowd(site: Site, limit: int, force: bool = False) -> list[dict[str, Any]]:
    """Eight requests to each server at once."""
    clients = [client for group in site.clients for client in group]
    barrier = threading.Barrier(len(clients))

    def one(client: Client) -> dict[str, Any]:
        barrier.wait()
        return site.ask(client, limit, force)

    with ThreadPoolExecutor(len(clients)) as threads:
        return [*threads.map(one, clients)]


def totals(answers: list[dict[str, Any]]) -> set[Any]:
    return {answer["data"][0]["total"] for answer in answers}


def test_sixteen_cold_requests_run_one_query(site: Site) -> None:
    """Intent: over two servers of eight threads, each of which holds a metadata connection while it waits."""
    before = site.runs()
    answers = crowd(site, 11)
    assert site.runs() == before + 1
    assert totals(answers) == {before + 1}
    assert sum(bool(answer["is_cached"]) for answer in answers) == SERVERS * THREADS - 1


def test_sixteen_forced_requests_run_one_query(site: Site) -> None:
    """Intent: a dashboard that a whole team refreshes asks its source once."""
    site.ask(site.clients[0][0], 12)
    before = site.runs()
    answers = crowd(site, 12, force=True)
    assert site.runs() == before + 1
    assert totals(answers) == {before + 1}


def test_within_the_grace_nobody_waits_and_one_query_runs(site: Site) -> None:
    """Intent: the old answer at once for everybody, and a new one for whoever comes after."""
    first = site.clients[0][0]
    put = first.http.put(f"{first.base}/api/v1/dataset/{site.dataset}", json={"cache_timeout": 5})
    assert put.status_code == 200, put.text
    stored = site.ask(first, 13)
    end = time.monotonic() + 5.1
    while time.monotonic() < end:  # what is waited for is that time passes
        time.sleep(0.1)
    before, started = site.runs(), time.monotonic()
    answers = crowd(site, 13)
    assert totals(answers) == totals([stored])
    assert time.monotonic() - started < QUERY_SECONDS + 5
    assert until(lambda: site.runs() == before + 1, 20)
    assert until(lambda: totals([site.ask(first, 13)]) == {before + 1}, 20)
    assert site.runs() == before + 1
    first.http.put(f"{first.base}/api/v1/dataset/{site.dataset}", json={"cache_timeout": None})


def test_an_owner_that_is_killed(site: Site, superset_stack: Any) -> None:
    """Intent: SIGKILL in the middle of the query: whoever waits elsewhere is answered within the lease."""
    config = site.config / "killed_config.py"
    config.write_text(CONFIG)
    env = superset_stack.env | {"SUPERSET_EXT_LEASE_SECONDS": str(LEASE)}
    with web(config, env, threads=2) as url, ThreadPoolExecutor(THREADS + 1) as threads:
        doomed = Client(url, superset_stack.user, superset_stack.password)
        before = site.runs()
        lost = threads.submit(lambda: suppressed(lambda: site.ask(doomed, 14)))
        until(lambda: site.runs() == before + 1)
        waiting = [threads.submit(site.ask, client, 14) for client in site.clients[0]]
        time.sleep(0.5)  # nothing says that a request waits
        for worker in served(int(url.rsplit(":", 1)[1])):
            os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        assert totals([each.result(60) for each in waiting]) == {before + 2}
        assert time.monotonic() - killed < LEASE + QUERY_SECONDS + 5
        lost.result(60)
    assert site.runs() == before + 2


def served(port: int) -> list[int]:
    """Process ids of the workers of the web server at a port."""
    masters = [
        process for process in psutil.process_iter(["cmdline"])
        if f"127.0.0.1:{port}" in " ".join(process.info["cmdline"] or ()) and process.children()
    ]  # fmt: skip
    return [worker.pid for master in masters for worker in master.children()]


def suppressed(verb: Callable[[], Any]) -> None:
    """Of whoever's server is killed nothing is expected."""
    with suppress(requests.RequestException, AssertionError):
        verb()
