"""Connections to sources that are kept: nothing of one query reaches the next, and nobody waits or fails for them."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.pool import NullPool, Pool

from superset_ext.cache.sent import Sent, sending
from superset_ext.core import fork_reset
from superset_ext.embedded.postgres import Postgres
from superset_ext.host import engines as seam
from superset_ext.sources.engines import MOST_ENGINES, Engines
from testing.asking import Asking
from testing.databases import Databases, postgres_in
from testing.in_process import InProcess
from testing.probes import until

FOR_LONG = 600.0  # seconds: longer than a test
STATE = """
SELECT json_build_object(
    'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE source = 'session'),
    'tenant', coalesce(current_setting('app.tenant', true), ''), 'role', current_user, 'session', session_user,
    'path', current_setting('search_path'), 'zone', current_setting('TimeZone'),
    'tables', (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
    'prepared', (SELECT count(*) FROM pg_prepared_statements), 'cursors', (SELECT count(*) FROM pg_cursors),
    'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    'listens', (SELECT count(*) FROM pg_listening_channels()), 'in a transaction', xact_start = statement_timestamp())
FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
TRACES = (
    "SET statement_timeout = 12345",
    "SELECT set_config('app.tenant', 'acme', false)",
    "SET ROLE pg_monitor",
    "SET SESSION AUTHORIZATION pg_read_all_data",
    "SET search_path = pg_catalog",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET client_encoding = 'LATIN1'",
    "SET DateStyle = 'German'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "CREATE TEMP TABLE hidden (v int)",
    "PREPARE asked AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SELECT pg_advisory_lock(7)",
    "LISTEN somebody",
    "DO $$ BEGIN RAISE NOTICE 'of somebody else'; END $$",
)


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """A source of its own."""
    with databases.empty() as url:
        yield url


def kept(engines: Engines, url: str, **connect: Any) -> Any:
    """The engine of a URL, as Superset asks for it in a second query."""
    arguments = {"poolclass": NullPool, "connect_args": connect}
    engines.engine(create_engine, make_url(url), arguments, 1)
    return engines.engine(create_engine, make_url(url), arguments, 2)


@contextmanager
def taken(engine: Any) -> Iterator[Any]:
    """A raw connection, as Superset takes it for a chart."""
    with sending(Sent(None, None, None)), closing(engine.raw_connection()) as connection:
        yield connection


def asked(connection: Any, statement: str) -> Any:
    """The first value of a statement."""
    cursor = connection.cursor()
    cursor.execute(statement)
    return cursor.fetchone()[0] if cursor.description else None


def backend(engine: Any) -> int:
    """The process of the server that a query had."""
    with taken(engine) as connection:
        return int(asked(connection, "SELECT pg_backend_pid()"))


def wait_for(what: Callable[[], Any]) -> None:
    """Wait for what another thread does, for as long as the test may take."""
    while not what():
        time.sleep(0.005)


def settled(engine: Any) -> None:
    """Wait until the connections that came back are clean."""
    wait_for(lambda: engine.pool._cleaning == 0)


def sessions(server: Postgres, name: str) -> int:
    """Connections to a database, but for the one that asks."""
    with closing(psycopg2.connect(server.url())) as connection:
        return int(
            asked(
                connection,
                f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'",
            )
        )


def test_a_connection_is_used_again(url: str) -> None:
    """Intent: the second query connects no more, and SQLAlchemy asks the server nothing about itself."""
    engine = kept(Engines(FOR_LONG, 4), url)
    first = backend(engine)
    settled(engine)
    assert backend(engine) == first


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("commits", [True, False])
def test_nothing_of_one_query_reaches_the_next(url: str, trace: str, commits: bool) -> None:
    """Intent: a kept connection is as a new one, on the server and in the driver."""
    engine = kept(Engines(FOR_LONG, 1), url)
    with taken(engine) as connection:
        new, pid = asked(connection, STATE), asked(connection, "SELECT pg_backend_pid()")
    settled(engine)
    with taken(engine) as connection:
        connection.cursor().execute(trace)
        driver = connection.dbapi_connection
        if commits:
            connection.commit()
            driver.autocommit = True
            driver.isolation_level = None
    settled(engine)
    with taken(engine) as connection:
        assert (connection.dbapi_connection.autocommit, connection.dbapi_connection.notices) == (False, [])
        assert connection.dbapi_connection.encoding == "UTF8"
        assert (asked(connection, STATE), asked(connection, "SELECT pg_backend_pid()")) == (new, pid)


@pytest.mark.parametrize("queries", [300, pytest.param(10_000, marks=pytest.mark.thorough)])
def test_tenants_and_people_that_take_turns_see_themselves(tmp_path: Path, queries: int) -> None:
    """Intent: of many queries by 8 tenants as 4 impersonated people, over a source that is restarted in between, none
    fails, none begins with another one's settings, no more connections are open than may, and a fork has none of
    them."""
    engines, dice = Engines(FOR_LONG, 2), random.Random(7)
    with postgres_in(tmp_path) as server:
        urls = people(server)
        for number in range(queries):
            person, tenant = dice.choice(sorted(urls)), f"tenant{dice.randrange(8)}"
            with taken(kept(engines, urls[person])) as connection:
                assert asked(connection, WHO) == person, number
                asked(connection, f"SELECT set_config('app.tenant', '{tenant}', false)")
                if dice.random() < 0.5:
                    connection.commit()
                assert asked(connection, WHO) == person + tenant
            if number % 100 == 50:  # a server learns a moment later that a connection was closed
                until(lambda: sessions(server, "postgres") - 1 <= 2 * len(urls))
            if number == queries // 2:
                server.stop()
                server.start()
        assert sessions(server, "postgres") > 1
        before = {backend(kept(engines, url)) for url in urls.values()}
        assert before.isdisjoint(in_a_child(lambda: {backend(kept(engines, url)) for url in urls.values()}))


WHO = "SELECT current_user || coalesce(current_setting('app.tenant', true), '')"


def people(server: Postgres) -> dict[str, str]:
    """New roles of a server, with the URL that Superset connects with for each."""
    names = [f"person{number}" for number in range(4)]
    with closing(psycopg2.connect(server.url())) as connection, connection:
        for name in names:
            asked(connection, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    url = make_url(server.url())
    return {name: url.set(username=name, password="x").render_as_string(hide_password=False) for name in names}


def in_a_child(work: Callable[[], Any]) -> Any:
    """What a fork of this process sends back."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    result = ours.recv()
    child.join()
    return result


def test_other_parameters_are_another_engine(url: str) -> None:
    """Intent: whose connection it is, and with what it was opened, is part of its name."""
    engines = Engines(FOR_LONG, 4)
    others = [
        kept(engines, url), kept(engines, url + "?options=-c%20work_mem%3D9MB"),
        kept(engines, url, options="-c jit=off"),
        kept(engines, make_url(url).set(username="somebody").render_as_string(hide_password=False)),
        kept(engines, make_url(url).set(password="another").render_as_string(hide_password=False)),
    ]  # fmt: skip
    assert len(set(map(id, others))) == len(others)
    assert kept(engines, url) is others[0]


def test_what_cannot_be_kept_is_made_anew(url: str) -> None:
    """Intent: a creator, somebody's own classes or isolation, another driver: stock's engine each time."""
    engines, address = Engines(FOR_LONG, 4), make_url(url)
    for arguments in (
        {"creator": lambda: psycopg2.connect(url)}, {"connect_args": {"connection_factory": None.__class__}},
        {"isolation_level": "AUTOCOMMIT"}, {"poolclass": None}, {"execution_options": {"a": 1}},
    ):  # fmt: skip
        made = [engines.engine(create_engine, address, {"poolclass": NullPool, **arguments}, n) for n in (1, 2, 3)]
        assert len(set(map(id, made))) == 3
    other = [engines.engine(create_engine, make_url("sqlite://"), {"poolclass": NullPool}, n) for n in (1, 2)]
    assert all(isinstance(engine.pool, NullPool) for engine in other)


def test_what_one_query_alone_asks_for_is_not_kept(url: str) -> None:
    """Intent: a token that is made for each query leaves no connection behind, however often the query asks."""
    engines, arguments = Engines(FOR_LONG, 4), {"poolclass": NullPool}
    asked_once = [engines.engine(create_engine, make_url(url), arguments, 1) for _ in range(3)]
    assert all(isinstance(engine.pool, NullPool) for engine in asked_once)
    assert not isinstance(engines.engine(create_engine, make_url(url), arguments, 2).pool, NullPool)


def test_where_no_thread_can_be_started_a_query_is_answered(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a process that ends, or has too many threads, closes the connection as stock does."""

    def refuse(_thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    engine = kept(Engines(FOR_LONG, 4), url)
    monkeypatch.setattr("threading.Thread.start", refuse)
    assert backend(engine) != backend(engine)
    assert engine.pool.status() == "0 connections wait, 0 are being cleaned"


def test_a_config_that_listens_to_new_connections_has_them(url: str) -> None:
    """Intent: what a config's listener sets on each new connection would be discarded; so each is new."""
    engines, connected = Engines(FOR_LONG, 4), []

    def listener(connection: Any, _record: Any) -> None:
        connected.append(connection)

    event.listen(Pool, "connect", listener)
    try:
        for _ in range(3):
            backend(kept(engines, url))
    finally:
        event.remove(Pool, "connect", listener)
    assert len(connected) == 3


def test_no_more_wait_than_may(url: str, postgres: Postgres) -> None:
    """Intent: however many are asked at a time, nobody waits, and so many are kept as the setting says."""
    engine = kept(Engines(FOR_LONG, 2), url)
    connections = [engine.raw_connection() for _ in range(6)]
    assert sessions(postgres, make_url(url).database) == 6
    with sending(Sent(None, None, None)):
        for connection in connections:
            connection.close()
    wait_for(lambda: sessions(postgres, make_url(url).database) == 2)
    assert "2 connections wait" in engine.pool.status()


def test_what_nobody_uses_is_closed_and_the_thread_ends(url: str, postgres: Postgres) -> None:
    """Intent: an idle Superset holds no connection to a source, and no thread."""
    engine = kept(Engines(0.2, 4), url)
    backend(engine)
    thread = engine.pool.cleaner._thread
    wait_for(lambda: sessions(postgres, make_url(url).database) == 0)
    thread.join()
    assert engine.pool.cleaner._thread is None
    assert backend(engine)


def test_engines_are_bounded(url: str, postgres: Postgres) -> None:
    """Intent: tokens that rotate make new engines; old ones go, with their connections."""
    engines = Engines(FOR_LONG, 4)
    first = kept(engines, url)
    backend(first)
    settled(first)
    for number in range(MOST_ENGINES):
        kept(engines, url, application_name=str(number))
    wait_for(lambda: sessions(postgres, make_url(url).database) == 0)
    assert kept(engines, url) is not first
    assert backend(first)  # whoever still holds it can use it
    wait_for(lambda: sessions(postgres, make_url(url).database) == 0)


def test_an_engine_is_replaced_after_its_life(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: what is changed of a role reaches a source that is asked all the time."""
    engines = Engines(FOR_LONG, 4)
    first = kept(engines, url)
    monkeypatch.setattr("superset_ext.sources.engines.LIFE_SECONDS", 0.0)
    assert kept(engines, url) is not first


def test_a_backend_that_was_ended_costs_nothing(url: str) -> None:
    """Intent: what ended while it waited is seen without a round trip, and another connection is made."""
    engine = kept(Engines(FOR_LONG, 4), url)
    first = backend(engine)
    settled(engine)
    with closing(psycopg2.connect(url)) as connection:
        asked(connection, f"SELECT pg_terminate_backend({first}, 60000)")
    assert backend(engine) != first


def test_a_source_that_was_restarted_costs_nothing(tmp_path: Path) -> None:
    """Intent: the first query after a restart is answered."""
    with postgres_in(tmp_path) as server:
        engine = kept(Engines(FOR_LONG, 4), server.url())
        connections = [engine.raw_connection() for _ in range(3)]
        with sending(Sent(None, None, None)):
            for connection in connections:
                connection.close()
        settled(engine)
        server.stop()
        server.start()
        assert [backend(engine) for _ in range(3)]


def test_a_query_that_breaks_its_connection_leaves_a_good_one(url: str) -> None:
    """Intent: a connection that ends within a query is not given to the next."""
    engine = kept(Engines(FOR_LONG, 4), url)
    with taken(engine) as connection, pytest.raises(psycopg2.Error):
        asked(connection, "SELECT pg_terminate_backend(pg_backend_pid())")
    settled(engine)
    assert backend(engine)


def test_a_child_has_connections_of_its_own(url: str) -> None:
    """Intent: nothing is shared over a fork, and the parent's connection outlives the child."""
    engines = Engines(FOR_LONG, 4)
    first = backend(kept(engines, url))
    settled(kept(engines, url))
    assert in_a_child(lambda: backend(kept(engines, url))) != first
    assert backend(kept(engines, url)) == first
    assert engines in fork_reset._known


@pytest.fixture
def charts(superset_app: InProcess, url: str, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Charts over the source, in a Superset that keeps connections."""
    monkeypatch.setattr(seam, "engines", Engines(FOR_LONG, 4))
    source = Asking(superset_app, url)
    source.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1)")
    return source


def pids(charts: Asking) -> set[int]:
    """The backends that twelve charts in a row had."""
    number = charts.dataset(f"pids{seam.engines is None}", "SELECT pg_backend_pid() AS v")
    return {asked_pid(charts, number, limit) for limit in range(10, 22)}


def asked_pid(charts: Asking, number: int, limit: int) -> int:
    """The backend of one chart, once its connection is clean again."""
    answer = int(charts.ask(number, row_limit=limit)[1])
    if seam.engines:
        wait_for(lambda: not any(kept.engine.pool._cleaning for kept in seam.engines._kept.values()))  # type: ignore[union-attr]
    return answer


def test_charts_use_kept_connections(charts: Asking) -> None:
    """Intent: misses of one source go through few connections, where stock opens one for each query."""
    asked_pid(charts, charts.dataset("first", "SELECT pg_backend_pid() AS v"), 10)
    assert len(pids(charts)) <= 4  # while some are being cleaned, there are others
    seam.engines = None
    assert len(pids(charts)) == 12


@pytest.mark.parametrize("sets", ["set_config('app.tenant', 'acme', false)", "set_config ('app.tenant', 'a', true)"])
def test_a_parameter_of_ones_own_is_absent_again(charts: Asking, sets: str) -> None:
    """Intent: PostgreSQL keeps the name of such a parameter, empty; a rule that asks for it must not see that."""
    asked_pid(
        charts, charts.dataset("first", "SELECT pg_backend_pid() AS v"), 10
    )  # from the next one on, they are kept
    sees = "CASE WHEN current_setting('app.tenant', true) IS NULL THEN 1 ELSE 0 END"
    assert asked_pid(charts, charts.dataset("sets", f"SELECT 1 AS v, {sets}"), 10) == 1
    assert charts.ask(charts.dataset("sees", f"SELECT {sees} AS v"))[1] == 1


def test_no_connection_is_kept_for_what_is_not_a_chart(charts: Asking) -> None:
    """Intent: SQL Lab, alerts and whatever else asks a database have a connection of their own."""
    from superset.extensions import db
    from superset.models.core import Database

    with charts.app.app_context():
        database = db.session.get(Database, charts.database_id)
        for _ in range(2):
            with database.get_sqla_engine() as engine:
                assert isinstance(engine.pool, NullPool)
        assert not database.get_df("SELECT 1").empty
    assert not seam.engines._kept  # type: ignore[union-attr]


@pytest.mark.parametrize("what", ["tunnel", "oauth2", "context", "own spec"])
def test_what_belongs_to_one_moment_is_not_kept(charts: Asking, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: tunnels, tokens of a person, and a config that wraps each engine."""
    from contextlib import nullcontext

    from superset.models.core import Database

    if what == "context":
        monkeypatch.setitem(charts.app.config, "ENGINE_CONTEXT_MANAGER", lambda *_: nullcontext())
    elif what == "oauth2":
        monkeypatch.setattr(Database, "get_oauth2_config", lambda _self: {"id": "x"})
        monkeypatch.setattr("superset.models.core.get_oauth2_access_token", lambda *_: None)
    elif what == "own spec":
        from superset.db_engine_specs.base import BaseEngineSpec

        monkeypatch.setattr(BaseEngineSpec.execute.__func__, "__module__", "somebody.specs")
    else:
        monkeypatch.setattr(seam, "_is_plain", lambda: 1 / 0)  # whatever fails in looking, stock's engine is made
    dataset = charts.dataset("t")
    assert [charts.ask(dataset, row_limit=limit) for limit in (10, 11)] == [(False, 1)] * 2
    assert not seam.engines._kept  # type: ignore[union-attr]
