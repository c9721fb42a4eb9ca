"""Marks behind PgBouncer, in each of its modes: nothing is missed, and no answer is taken for another's."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine

from superset_ext.core.within import AT_A_TIME, within
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.postgres import Postgres
from superset_ext.grants import metadata_stamps
from superset_ext.grants.metadata_stamps import MetadataStamps
from testing import grants_walk
from testing.databases import Databases, run_each
from testing.grants_walk import Disturber, walked
from testing.pooler import MISSING, PROGRAM, Pooler, pooler_before
from testing.warming import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(PROGRAM is None, reason=MISSING)]
STEPS = int(os.environ.get("POOLER_STEPS", "600"))  # of all threads, in each mode
SEED = int(os.environ.get("POOLER_SEED", "1"))
PATIENCE = 60.0
TABLES = """
CREATE TABLE ab_user (id int);
CREATE TABLE ab_user_role (id int PRIMARY KEY, user_id int, role_id int);
INSERT INTO ab_user_role VALUES (1, 1, 1);
CREATE TABLE elsewhere (id int);
"""
MODES = ("session", "transaction", "statement")


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """A metadata database with a table that is watched and one that is not, without a pooler."""
    with databases.empty() as url:
        run_each(url, TABLES)
        with made(url) as stamps:
            stamps.install()
        yield url


@pytest.fixture(params=MODES)
def pooler(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[Pooler]:
    """PgBouncer, which soon connects again where the server has refused it."""
    soon = {"server_login_retry": 1, "query_wait_timeout": 5}
    with pooler_before(postgres, tmp_path / "pooler", request.param, default_pool_size=30, **soon) as pooler:
        yield pooler


@contextmanager
def made(url: str, **connect: Any) -> Iterator[MetadataStamps]:
    """Stamps of an engine of their own, which begins no transactions: some poolers let nobody."""
    engine = create_engine(url, connect_args=connect, isolation_level="AUTOCOMMIT", pool_size=grants_walk.THREADS)
    stamps = MetadataStamps(lambda: engine, lambda: ["ab_user_role"])
    yield stamps
    stamps._connections().dispose()
    engine.dispose()


@contextmanager
def behind(pooler: Pooler, url: str, **connect: Any) -> Iterator[MetadataStamps]:
    """Stamps by way of a pooler, which were looked at."""
    with made(pooler.url(url.rpartition("/")[2]), **connect) as stamps:
        assert stamps.look(), stamps.missing
        yield stamps


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon whoever was silent, and look again soon for triggers."""
    for name in ("_SILENT", "_RETRY", "_AGAIN", "_BUSY"):
        monkeypatch.setattr(metadata_stamps, name, 0.02)


@pytest.mark.usefixtures("patient_grants")
def test_nothing_is_missed_behind_a_pooler(url: str, pooler: Pooler) -> None:
    """Intent: threads mark, write, commit and ask at random: a mark from before a commit that has returned never holds,
    one without such a commit does, and everybody reads the answer to what they asked."""
    with behind(pooler, url) as stamps:
        counts = walked(stamps, url, STEPS, SEED)
        print(counts, stamps._are_planned)
        assert min(counts["held"], counts["ended"], counts["begun"]) > STEPS / 50
        assert counts["unknown"] == 0 and stamps.ready()


@pytest.mark.usefixtures("impatient")
def test_nothing_is_missed_while_a_pooler_ends_what_is_under_way(url: str, pooler: Pooler) -> None:
    """Intent: connections are ended by the server and by the pooler, which is paused, told to connect anew and
    restarted: what cannot be known is not held, and soon it is known again."""
    with behind(pooler, url) as stamps:
        disturber = Disturber(pooler, url, SEED)
        counts = walked(stamps, url, STEPS, SEED, disturber)
        print(counts, disturber.counts, stamps._are_planned)
        assert counts["held"] > STEPS / 50 and counts["ended"] > STEPS / 50
        until(lambda: (mark := stamps.now()) and stamps.holds(mark), PATIENCE)


@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
def test_a_pooler_that_is_paused_holds_up_nobody(url: str, pooler: Pooler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a paused pooler lets connect and answers nothing: nothing holds then, and soon after it goes on what was
    written is seen."""
    with behind(pooler, url) as stamps:
        mark = stamps.now()
        assert mark and stamps.holds(mark)
        for name in ("_SILENT", "_BUSY", "_WAIT", "_CONNECT"):
            monkeypatch.setattr(metadata_stamps, name, 0.02)
        early = stamps.begin()
        pooler.order("PAUSE")
        stamps.holds(mark, early=early)
        for _ in range(5):
            assert stamps.holds(mark, early=stamps.begin()) is None
        run_each(url, grants_walk.WATCHED)
        pooler.order("RESUME")
        monkeypatch.undo()
        until(lambda: stamps.holds(mark, early=stamps.begin()) is False, PATIENCE)


def test_a_pooler_before_a_silent_server_takes_no_room(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a pooler that has not reached its server holds whoever connects, for minutes: however often that was
    tried, other calls with a limit have room."""
    for name, seconds in (("_SILENT", 0.0), ("_BUSY", 0.0), ("_WAIT", 0.02), ("_CONNECT", 0.02)):
        monkeypatch.setattr(metadata_stamps, name, seconds)
    silent = copy(postgres)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        silent.port = listening.getsockname()[1]
        with pooler_before(silent, tmp_path / "pooler", "transaction") as pooler, made(pooler.url("meta")) as stamps:
            for _ in range(2 * AT_A_TIME):
                stamps._anchor = "somewhere"
                assert stamps.now() is None
            assert within(PATIENCE, int) == 0


@pytest.mark.usefixtures("patient_grants")
@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
@pytest.mark.parametrize("is_planned", [True, False])
def test_nothing_holds_in_a_copy_of_the_database(
    is_planned: bool, databases: Databases, postgres: Postgres, pooler: Pooler
) -> None:
    """Intent: a pooler is told to lead to a copy on the same server, where rights have been changed since, while no
    transaction ends anywhere: the copy has the id of the run too, and sees the same transactions."""
    name = f"copied_{uuid.uuid4().hex[:8]}"
    with databases.empty() as url:
        run_each(url, TABLES)
        with made(url) as stamps:
            stamps.install()
            assert stamps.look()  # which draws the id
        with closing(psycopg2.connect(postgres.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")
        run_each(postgres.url(name), grants_walk.WATCHED)
        with behind(pooler, url) as stamps:
            mark = stamps.now()
            assert mark and stamps.holds(mark)
            stamps._are_planned = is_planned
            pooler.lead(url.rpartition("/")[2], name)
            until(lambda: _place(stamps) == name, PATIENCE)
            assert not stamps.holds(mark, early=stamps.begin()) and not stamps.holds(mark)


def _place(stamps: MetadataStamps) -> Any:
    return stamps._connections().send("SELECT current_database()", ()).row(PATIENCE)[0]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "as drivers are told": {"gssencmode": "prefer", "channel_binding": "prefer", "sslmode": "prefer", "keepalives": 1},
    "read and write": {"target_session_attrs": "read-write", "connect_timeout": 10, "application_name": "superset"},
    "several hosts": {"host": "127.0.0.1,127.0.0.1"},
}


@pytest.mark.usefixtures("patient_grants")
@pytest.mark.parametrize("pooler", MODES, indirect=True)
@pytest.mark.parametrize("how", OPTIONS)
def test_who_connects_as_superset_does_gets_through(how: str, url: str, pooler: Pooler) -> None:
    """Intent: what is set for Superset's connections through a pooler is set for those of grants."""
    options = dict(OPTIONS[how])
    if "host" in options:  # the first of which nobody listens at
        options["port"] = f"{free_port()},{pooler.port}"
    with behind(pooler, url, **options) as stamps:
        mark = stamps.now()
        assert mark and stamps.holds(mark)
        early = stamps.begin()
        assert early is not None and stamps.holds(mark, early=early)
        run_each(url, grants_walk.WATCHED)
        assert stamps.holds(mark, early=stamps.begin()) is False
