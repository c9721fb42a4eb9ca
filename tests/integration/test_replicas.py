"""A replica that lags: what it answers after a change was told is older than the change."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from testing.asking import Asking
from testing.in_process import InProcess
from testing.standby import standby_of

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def standby(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A streaming replica of the session's server."""
    made = standby_of(postgres, tmp_path_factory.mktemp("standby") / "data")
    made.start()
    yield made
    made.stop()


def run(url: str, statement: str) -> Any:
    """Run a statement by itself; its first value."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]


def until(what: Callable[[], Any]) -> None:
    """Wait for something to be so, for as long as the test may take."""
    while not what():
        time.sleep(0.05)


@pytest.fixture
def lagging(
    superset_app: InProcess, postgres: Postgres, standby: Postgres, request: pytest.FixtureRequest
) -> Iterator[tuple[Asking, str, int]]:
    """A source whose URL leads to a replica that has replayed all of a table, the replica's URL, and a dataset."""
    name = f"lag_{uuid.uuid4().hex[:8]}"
    url = postgres.create_database(name)
    run(url, "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE TABLE clock (v int)")
    replica = standby.url(name)
    caught_up(url, replica)
    source = Asking(superset_app, url, uri=request.param(url, replica))
    try:
        yield source, replica, source.dataset("t")
    finally:
        run(replica, "SELECT pg_wal_replay_resume()")


def caught_up(url: str, replica: str) -> None:
    position = run(url, "SELECT pg_current_wal_insert_lsn()")
    until(lambda: run(standby_url(replica), f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))


def standby_url(replica: str) -> str:
    return replica.rpartition("/")[0] + "/postgres"


def hosts(url: str, replica: str) -> str:
    """A URL with several hosts, of which the driver chooses the replica."""
    primary, second = (part.rpartition("@")[2].partition("/")[0] for part in (url, replica))
    both = f"?host={primary}&host={second}&target_session_attrs=prefer-standby"
    return f"{url.rpartition('@')[0]}@/{url.rpartition('/')[2]}{both}"


DIRECT = pytest.mark.parametrize("lagging", [lambda _url, replica: replica], indirect=True, ids=["the replica's own"])
BOTH = pytest.mark.parametrize(
    "lagging", [lambda _url, replica: replica, hosts], indirect=True, ids=["the replica's own", "several hosts"]
)


@BOTH
def test_what_a_replica_answers_before_it_has_a_change_is_not_fresh_after_it(
    lagging: tuple[Asking, str, int],
) -> None:
    """Intent: a change is told, the replica has not got it; once it has, nobody gets the rows from before."""
    asking, replica, dataset = lagging
    assert asking.ask(dataset) == (False, 1)
    until(lambda: cached(asking, dataset, 1))
    run(replica, "SELECT pg_wal_replay_pause()")
    until(lambda: run(replica, "SELECT pg_get_wal_replay_pause_state()") == "paused")
    asking.sql("INSERT INTO t VALUES (100)")
    asking.tell("t")
    assert [asking.ask(dataset) for _ in range(3)] == [(False, 1)] * 3  # as without a cache
    run(replica, "SELECT pg_wal_replay_resume()")
    caught_up(asking.url, replica)
    assert asking.ask(dataset) == (False, 101)
    until(lambda: cached(asking, dataset, 101))


def cached(asking: Asking, dataset: int, total: int) -> bool:
    """Whether a dataset's total is cached, after a commit that the replica has too."""
    asking.sql("INSERT INTO clock VALUES (1)")
    hit, shown = asking.ask(dataset)
    assert shown == total
    return hit


@DIRECT
def test_a_replica_that_does_not_tell_is_not_cached(
    lagging: tuple[Asking, str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: neither where asking fails, which the person's own query survives, nor where it has no answer.

    With a bound that somebody vouches for, its answers are cached.
    """
    from superset_ext.host import replicas

    asking, _, dataset = lagging
    for question in ("SELECT NULL::float", "SELECT 1 / 0"):
        monkeypatch.setattr(replicas, "query_text", lambda _name, question=question: question)
        assert [asking.ask(dataset) for _ in range(2)] == [(False, 1)] * 2
    monkeypatch.setattr(replicas, "query_text", lambda _name: "SELECT NULL::float")
    vouched = replicas.current().model_copy(update={"replica_lag_seconds": 1.0})
    monkeypatch.setattr(replicas, "current", lambda: vouched)
    assert asking.ask(dataset) == (False, 1)
    until(lambda: asking.ask(dataset) == (True, 1))  # once the dataset is older than the bound


@pytest.mark.parametrize("autocommit", [False, True])
def test_asking_leaves_the_transaction_as_it_is(database_url: str, autocommit: bool) -> None:
    """Intent: the question is asked without a transaction too, as where a source is set to AUTOCOMMIT."""
    from superset_ext.host import replicas

    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = autocommit
        assert replicas._replayed_until(connection) is None  # no replica
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_a_primary_is_not_asked(superset_app: InProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: it says by itself what it is; a miss sends nothing more."""
    from superset_ext.host import replicas

    asked: list[str] = []
    monkeypatch.setattr(replicas, "_replayed_until", lambda _connection: asked.append("asked"))
    asking = Asking(superset_app, database_url)
    asking.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1)")
    dataset = asking.dataset("t")
    assert [asking.ask(dataset) for _ in range(2)] == [(False, 1), (True, 1)]
    assert asked == []
