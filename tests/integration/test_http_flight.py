"""Over HTTP: whoever asks for the same chart at once waits for one query, and nobody waits within the grace."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import redis
import requests

from superset_ext.cache.envelope import Envelope, pack, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.redis.scripts import LEASE
from superset_ext.settings import Region
from testing.charts import database_id
from testing.processes import below, those
from testing.regions import client_of
from testing.serving import Client, web
from testing.warming import PATIENCE, until

pytestmark = pytest.mark.timeout(900)
SERVERS, THREADS = 2, 8
# A click of a machine that stalls may take its time; how long one is otherwise is `test_flight.py`'s.
CONFIG = """
from superset_ext.config import *
from superset_ext.cache import single_flight as shared
shared.SAME_CLICK_US = 600_000_000
WTF_CSRF_ENABLED = True
"""
# Nobody loses a lease by a stall, nor gives up waiting for somebody else's query.
LASTING = {"SUPERSET_EXT_LEASE_SECONDS": "60", "SUPERSET_EXT_WAIT_SECONDS": "600"}
TIMEOUT = 300
TOTAL = {"expressionType": "SQL", "sqlExpression": "MAX(amount)", "label": "total"}


@dataclass
class Site:
    """Two web servers over one Redis, and a dataset whose query counts itself in a sequence of the source, and then
    waits as long as it is held.

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

    @property
    def gate(self) -> int:
        """The number of the lock on which the query waits."""
        return int(self.mark, 16)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No query ends within the block."""
        with closing(psycopg2.connect(self.stack.examples_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (self.gate,))
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", (self.gate,))

    def sql(self, statement: str) -> None:
        with closing(psycopg2.connect(self.stack.examples_url)) as connection, connection:
            connection.cursor().execute(statement)


@pytest.fixture(scope="module")
def site(superset_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("flight")
    made = Site(superset_stack, uuid.uuid4().hex[:8])
    made.sql(f"CREATE SEQUENCE {made.sequence}")
    env = superset_stack.env | LASTING
    with ExitStack() as servers:
        for number in range(SERVERS):
            config = folder / f"flight{number}_config.py"
            config.write_text(CONFIG)
            url = servers.enter_context(web(config, env, threads=THREADS))
            one = Client(url, superset_stack.user, superset_stack.password)
            made.clients.append([one] * THREADS)
        first = made.clients[0][0]
        # It counts itself when it begins, and then waits.
        one_run = f"(SELECT nextval('{made.sequence}') AS amount OFFSET 0) AS s"
        sql = f"SELECT s.amount FROM {one_run}, LATERAL pg_advisory_xact_lock_shared({made.gate} + 0 * s.amount)"
        body = {"database": database_id(first), "schema": "public", "table_name": f"runs_{made.mark}", "sql": sql}
        created = first.post("/api/v1/dataset/", json=body)
        assert created.status_code == 201, created.text
        made.dataset = int(created.json()["id"])
        made.config = folder
        yield made
        first.http.delete(f"{first.base}/api/v1/dataset/{made.dataset}")
    made.sql(f"DROP SEQUENCE {made.sequence}")


@contextmanager
def leases(site: Site) -> Iterator[Callable[[int], None]]:
    """What waits until so many, of those who ask from here on, have asked for the lease of one entry."""
    tokens: dict[str, set[str]] = defaultdict(set)
    with closing(redis.Redis.from_url(site.stack.redis_url)) as client, client.monitor() as monitor:

        def asked(number: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while max(map(len, tokens.values()), default=0) < number:
                assert time.monotonic() < deadline, {name: len(values) for name, values in tokens.items()}
                words = monitor.next_command()["command"].split()
                if words[1:2] == [LEASE.decode()]:
                    tokens[words[3]].add(words[4])

        yield asked


def crowd(site: Site, limit: int, force: bool = False) -> list[dict[str, Any]]:
    """Eight requests to each server, all of which have come before a query ends."""
    clients = [client for group in site.clients for client in group]
    with ThreadPoolExecutor(len(clients)) as threads:
        with site.held(), leases(site) as asked:
            answers = [threads.submit(site.ask, client, limit, force) for client in clients]
            asked(len(clients))
        return [answer.result() for answer in answers]


def aged(site: Site, cache_key: str) -> Envelope:
    """As if an entry's time were over, and its grace were not; what it said before."""
    name, ring = f"chart_{cache_key}", KeyRing(site.stack.env["SUPERSET_SECRET_KEY"])
    with closing(client_of(site.stack.redis_url, Region.CHART_DATA)) as client:
        envelope, value = unpack(client.get(name) or b"", key=name, ring=ring, max_decoded=2**20)
        data = pack(
            value, key=name, ring=ring, as_of_us=envelope.as_of_us, tags=envelope.tags, cost_ms=envelope.cost_ms,
            run_id=envelope.run_id, stored_at_us=envelope.stored_at_us, fresh_until_us=envelope.stored_at_us + 1,
            compression="none", level=1, min_size=0, last_stamp=envelope.last_stamp,
        )  # fmt: skip
        left_ms = client.pttl(name)
        assert TIMEOUT * 1000 < left_ms <= 2 * TIMEOUT * 1000, "it is kept for its grace, which is its timeout at most"
        assert client.set(name, data, keepttl=True)
    return envelope


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
    put = first.http.put(f"{first.base}/api/v1/dataset/{site.dataset}", json={"cache_timeout": TIMEOUT})
    assert put.status_code == 200, put.text
    stored = site.ask(first, 13)
    before = site.runs()
    old = aged(site, stored["cache_key"])
    assert old.fresh_until_us - old.stored_at_us == TIMEOUT * 1_000_000
    clients = [client for group in site.clients for client in group]
    with ThreadPoolExecutor(len(clients)) as threads, site.held():
        answers = [*threads.map(lambda client: site.ask(client, 13), clients)]  # while no query ends
        until(lambda: site.runs() == before + 1)
    assert totals(answers) == totals([stored])
    until(lambda: totals([site.ask(first, 13)]) == {before + 1})
    assert site.runs() == before + 1
    first.http.put(f"{first.base}/api/v1/dataset/{site.dataset}", json={"cache_timeout": None})


def test_an_owner_that_is_killed(site: Site, superset_stack: Any) -> None:
    """Intent: SIGKILL in the middle of the query: whoever waits elsewhere is answered once its lease has ended."""
    config = site.config / "killed_config.py"
    config.write_text(CONFIG)
    env = superset_stack.env | LASTING | {"SUPERSET_EXT_LEASE_SECONDS": "3"}
    with web(config, env, threads=2) as url, ThreadPoolExecutor(THREADS + 1) as threads:
        doomed = Client(url, superset_stack.user, superset_stack.password)
        before = site.runs()
        with site.held(), leases(site) as asked:
            lost = threads.submit(lambda: suppressed(lambda: site.ask(doomed, 14)))
            until(lambda: site.runs() == before + 1)
            waiting = [threads.submit(site.ask, client, 14) for client in site.clients[0]]
            asked(1 + len(waiting))
            for worker in served(int(url.rsplit(":", 1)[1])):
                os.kill(worker, signal.SIGKILL)
            until(lambda: site.runs() == before + 2)  # long before they would give up waiting
        assert totals([answer.result() for answer in waiting]) == {before + 2}
        lost.result()
    assert site.runs() == before + 2


def served(port: int) -> list[int]:
    """Process ids of the workers of the web server at a port."""

    def listens(process: psutil.Process) -> bool:
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections())

    listening = those(below(), listens)
    parents = {process.pid for process in listening}
    return [process.pid for process in those(listening, lambda process: process.ppid() in parents)]


def suppressed(verb: Callable[[], Any]) -> None:
    """Of whoever's server is killed nothing is expected."""
    with suppress(requests.RequestException, AssertionError):
        verb()
