"""Marks over what a server forgets: crashes that undo what was committed, and a replica that takes the place of its
primary without all that the primary had.

A transaction that was undone gives its number to another one, so that a mark from before would take the second for the
first, which it sees. Each test makes that happen, and looks that it has.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from sqlalchemy import create_engine

from superset_ext.embedded.postgres import Postgres
from superset_ext.grants.metadata_stamps import MetadataStamps
from testing.databases import postgres_in, quick_folder, run_each
from testing.standby import standby_of
from testing.warming import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("patient_grants")]
PATIENCE = 120.0
TABLES = """
CREATE TABLE ab_user (id int);
CREATE TABLE ab_user_role (id int PRIMARY KEY, user_id int, role_id int);
INSERT INTO ab_user_role VALUES (1, 1, 1);
CREATE TABLE elsewhere (id int);
"""
# Nothing is written to the disk before somebody waits for it, and nothing but the test uses transactions.
FORGETFUL = {"wal_writer_delay": "10s", "wal_writer_flush_after": "2GB", "autovacuum": "off"}
KEPT = "SET synchronous_commit = on"
LOST = "SET synchronous_commit = off"
PREPARED = "BEGIN; UPDATE ab_user_role SET role_id = 7; PREPARE TRANSACTION 'late'"
Mark = tuple[str, str]


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server that the test may crash; one that has a replica writes at once, since a copy of it waits for that."""
    settings = {"max_prepared_transactions": "5"} | ({} if "standby" in request.fixturenames else FORGETFUL)
    with quick_folder(tmp_path) as folder, postgres_in(folder, **settings) as made:
        run_each(made.create_database("meta"), TABLES)
        yield made


@pytest.fixture
def stamps(server: Postgres) -> Iterator[MetadataStamps]:
    """Stamps of its database, which were looked at."""
    with stamps_of(server) as made:
        made.install()
        assert made.look(), made.missing
        yield made


@contextmanager
def stamps_of(server: Postgres) -> Iterator[MetadataStamps]:
    """Stamps of a server's database, which nobody has looked at yet."""
    engine = create_engine(server.url("meta"))
    made = MetadataStamps(lambda: engine, lambda: ["ab_user_role"])
    yield made
    made._connections().dispose()
    engine.dispose()


def write(url: str, how: str, number: int) -> int:
    """Commit a row of the watched table; the transaction."""
    sql = f"INSERT INTO ab_user_role VALUES ({number}, 1, {number}) RETURNING pg_current_xact_id()::text"
    return int(run_each(url, how, sql))


def marked(stamps: MetadataStamps) -> Mark:
    """A mark that holds."""
    mark = stamps.now()
    assert mark is not None and stamps.holds(mark)
    return mark


def kill_backend(server: Postgres) -> None:
    """Kill a process of the server's, which then starts anew by itself: its own process lives on."""
    with closing(psycopg2.connect(server.url("meta"))) as other, closing(psycopg2.connect(server.url("meta"))) as one:
        os.kill(one.info.backend_pid, signal.SIGKILL)
        until(lambda: _is_cut(other), PATIENCE)


def _is_cut(connection: Any) -> bool:
    try:
        connection.cursor().execute("SELECT")
    except psycopg2.Error:
        return True
    return False


def stop_at_once(server: Postgres) -> None:
    """What `pg_ctl stop -m immediate` sends; then start it again."""
    os.kill(server.pid, signal.SIGQUIT)
    _await_end(server)
    server.start()


def kill_all(server: Postgres) -> None:
    """Kill all of its processes, its own first, as a machine that fails; then start it again."""
    _kill(server)
    server.start()


def _kill(server: Postgres) -> None:
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes[1:], timeout=PATIENCE)
    _await_end(server)


def _await_end(server: Postgres) -> None:
    process = server._process
    assert process is not None
    process.wait()
    server._process = None


CRASHES: dict[str, Callable[[Postgres], None]] = {
    "a backend is killed": kill_backend,
    "stopped at once": stop_at_once,
    "all are killed": kill_all,
}


@pytest.mark.parametrize("how", CRASHES)
def test_no_mark_outlives_a_crash_that_undoes_a_commit(how: str, server: Postgres, stamps: MetadataStamps) -> None:
    """Intent: a mark has seen a commit that a crash undoes, and another transaction with the same number takes a right:
    the mark does not hold, neither before anybody has looked at the triggers nor after; one from after the crash ends
    with a prepared transaction that is older than the crash."""
    url = server.url("meta")
    run_each(url, KEPT, "CHECKPOINT")
    run_each(url, KEPT, PREPARED)
    undone = write(url, LOST, 2)
    mark = marked(stamps)
    CRASHES[how](server)
    assert until(lambda: quietly(lambda: run_each(url, "SELECT count(*) FROM ab_user_role")), PATIENCE) == 1
    assert write(url, KEPT, 3) == undone
    assert not stamps.holds(mark)
    assert stamps.look(), stamps.missing  # though Superset's own connection was closed
    later = marked(stamps)
    assert not stamps.holds(mark) and stamps.holds(later)
    run_each(url, KEPT, "COMMIT PREPARED 'late'")
    assert not stamps.holds(later) and not stamps.holds(mark)


def quietly(ask: Callable[[], Any]) -> Any:
    """What `ask` returns; `None` while the server lets nobody in."""
    with suppress(psycopg2.Error):
        return ask()
    return None


def test_a_prepared_transaction_ends_a_mark_when_it_is_committed(server: Postgres, stamps: MetadataStamps) -> None:
    """Intent: it was prepared before the mark, by a session that is gone, and is committed by another: only then."""
    url = server.url("meta")
    run_each(url, PREPARED)
    mark = marked(stamps)
    run_each(url, "INSERT INTO elsewhere VALUES (1)")
    assert stamps.holds(mark)
    run_each(url, "COMMIT PREPARED 'late'")
    assert not stamps.holds(mark)


@pytest.fixture
def standby(server: Postgres, stamps: MetadataStamps, tmp_path: Path) -> Iterator[Postgres]:
    """A streaming replica of it, which has the triggers, and has been stopped."""
    assert stamps.ready()
    with quick_folder(tmp_path) as folder:
        made = standby_of(server, folder / "standby")
        made.start()
        position = run_each(server.url("meta"), "SELECT pg_current_wal_insert_lsn()")
        run_each(server.url("meta"), KEPT, "INSERT INTO elsewhere VALUES (0)")  # else nothing is sent for a while
        until(lambda: run_each(made.url(), f"SELECT pg_last_wal_replay_lsn() >= '{position}'"), PATIENCE)
        yield made
        made.stop()


def test_a_replica_gives_no_mark(standby: Postgres, stamps: MetadataStamps) -> None:
    """Intent: what is asked of a replica may be of before: no mark is had there, none of the primary's holds, and the
    reason is said."""
    mark = marked(stamps)
    with stamps_of(standby) as pointed:
        assert not pointed.look() and pointed.missing == "Superset reads a replica of its metadata database"
        pointed._anchor = mark[1]  # as if it had been the primary when somebody looked
        assert pointed.holds(mark) is not True
        pointed._anchor = mark[1]
        assert pointed.now() is None


def test_no_mark_outlives_a_promotion_that_loses_a_commit(
    server: Postgres, standby: Postgres, stamps: MetadataStamps
) -> None:
    """Intent: a replica that has not got the last commit takes the primary's place, at its address, and gives that
    commit's number to another transaction: what was marked at the primary does not hold there."""
    url = server.url("meta")
    standby.stop()
    undone = write(url, KEPT, 2)
    mark = marked(stamps)
    _kill(server)
    standby.port = server.port
    standby.start()
    assert stamps.holds(mark) is not True and stamps.now() is None and not stamps.look()
    run_each(standby.url(), "SELECT pg_promote(true, 60)")
    assert not run_each(url, "SELECT pg_is_in_recovery()")
    assert write(url, KEPT, 3) == undone
    assert stamps.holds(mark) is not True
    until(stamps.look, PATIENCE)
    later = marked(stamps)
    assert not stamps.holds(mark) and later[1] != mark[1]
    write(url, KEPT, 5)
    assert not stamps.holds(later)
