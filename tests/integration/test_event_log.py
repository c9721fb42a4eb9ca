"""Superset's `logs` in batches: the rows are stock's, whoever reads them sees them, and none is lost in order."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.databases import postgres_in
from testing.event_log import CONFIG
from testing.superset_app import SECONDS, run

START = """
from testing.event_log import *
from superset.extensions import event_logger
add_views(app)
with event_logger.log_context("before any request"):
    pass
looking = [is_looking()]
site = Site(app, os.environ["METADATA"])
looking.append(is_looking())
ours()._writer._seconds = 3600.0  # later than any test ends
results = {"looking": looking}
"""
SHOWN = """
from superset.extensions import db
from superset.models.core import Log

site.activity()
shown = []
for number in range(3):
    site.view(number)
    shown.append([waiting() > 0, len(site.activity().json["result"])])
site.view(3)
listed = site.ask("GET", "/api/v1/log/?q=(page_size:1,order_column:dttm,order_direction:desc)").json["result"]
site.view(4)
db.session.remove()
own = db.session.query(Log).filter(Log.action == "log").count()
results["shown"] = [shown, json.loads(listed[0]["json"])["source_id"], own]
db.session.remove()
flush()
"""
KEPT = """
def kept():
    return [site.sql("SELECT count(*) FROM cache_keys")[0][0], site.sql("SELECT count(*) FROM favstar")[0][0]]

def all_kept(limit):
    site.body["queries"][0]["row_limit"] = limit
    site.ask("POST", "/api/v1/chart/data", json=site.body)
    for how in LEFT:
        assert site.ask("GET", f"/mine/{how}").status_code == 200
    return kept()

with stocks():
    stock = all_kept(11)
results["kept"] = [stock, all_kept(12)]
flush()
"""
ROWS = """
def both():
    for name, ask in site.requests():
        ask()
        flush()
        with stocks():
            stock = logged(site, ask)
        yield name, stock, logged(site, ask)

results["rows"] = list(both())
"""
COMMITTED = """
from sqlalchemy import event
from sqlalchemy.engine import Engine

begin, sent = site.last_id(), []
hear = lambda *given: sent.append(given[2])
event.listen(Engine, "before_cursor_execute", hear)
assert site.ask("GET", "/mine/committed").status_code == 200
event.remove(Engine, "before_cursor_execute", hear)
after = sent[[statement.startswith("INSERT INTO favstar") for statement in sent].index(True):]
users = [statement for statement in after if "FROM ab_user" in statement]
results["committed"] = [[row["user_id"] for row in site.rows(begin)], users]
"""
COMMAND = """
from superset.models.core import FavStar

favourites = "SELECT count(*) FROM favstar WHERE class_name = 'of a command'"
with event_logger.log_context("of a command"):
    db.session.add(FavStar(user_id=1, class_name="of a command", obj_id=1))
results["command"] = [site.rows()[-1]["action"], site.sql(favourites)[0][0]]
db.session.remove()
"""
WARMED = """
from sqlalchemy import text
from superset_ext.host.people import Identity
from superset_ext.host.replay import request_context, run_chart_data

def warmed(limit):
    before = site.rows()
    site.body["queries"][0]["row_limit"] = limit
    with request_context(app, {"path": "/api/v1/chart/data", "method": "POST", "json": site.body}, Identity(1)):
        run_chart_data(site.body, refresh=True)
        within = len(site.rows()) - len(before)
    added = site.rows()[len(before):]
    return within, [{**row, "dttm": None, "duration_ms": None} for row in added], kept()[0]

def failed(fault):
    count = len(site.rows())
    try:
        with request_context(app, {"path": "/"}, Identity(1)):
            with event_logger.log_context("before a fault"):
                pass
            fault()
    except Exception:
        return len(site.rows()) - count

with stocks():
    stock = warmed(21)
ours_of_warming = warmed(21)
faults = [failed(lambda: 1 / 0), failed(lambda: db.session.execute(text("SELECT nothing FROM nowhere")))]
results["warmed"] = [stock, ours_of_warming, waiting(), faults]
db.session.remove()
"""
LOST = """
import time
from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.host import event_rows
from superset_ext.host.event_rows import Event

event_rows.MOST_TRIES = 1_000_000
begin = site.last_id()

def viewed():
    return [json.loads(row["json"])["source_id"] for row in site.rows(begin) if row["action"] == "log"]

def rows(**more):
    return [{"action": "log", "user_id": 1, "dashboard_id": None, "slice_id": None, "json": '{"source_id": 0}',
             "referrer": None, "duration_ms": None, "dttm": datetime.utcnow(), **more}]

writer = ours()._writer
site.view(1)
site.sql("ALTER TABLE logs RENAME TO away; CREATE VIEW logs AS SELECT * FROM away")
site.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '25006'; END $$")
site.sql("CREATE TRIGGER refuse INSTEAD OF INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()")
taken = writer.flush(0.0)
while not any(event.tries for event in list(writer._queue._waiting)):
    writer._hurry.set()
    time.sleep(0.01)
away = waiting()
site.sql("DROP VIEW logs; ALTER TABLE away RENAME TO logs")
flush()
once = viewed()
engine = app.extensions["sqlalchemy"].engine
bad, gone = rows(dashboard_id="none"), rows(user_id=4711, json='{"source_id": 7}')
for made in (bad, gone, rows(json='{"source_id": 8}')):
    assert writer.put(Event(engine, made, 10))
flush()
users = {json.loads(row["json"])["source_id"]: row["user_id"] for row in site.rows(begin) if row["action"] == "log"}
writer._queue = BoundedQueue(1, 0, lambda event: event.size)
site.view(20)
site.view(21)
results["lost"] = [taken, away, once, sorted(users.items()), viewed()[-1], waiting()]
"""
KILLED = """
import signal, time
from superset.extensions import db
from superset_ext.host import event_writer

event_writer.EXIT_SECONDS = event_writer.FORK_SECONDS = 600.0

def viewed():
    return sorted(json.loads(row["json"])["source_id"] for row in site.rows() if row["action"] == "log")

def child(work):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    db.engine.dispose(close=False)  # its connections are the parent's
    work()
    os._exit(0)

def killed():
    ours()._writer._seconds = 0.05
    site.view(1)
    while viewed() != [1]:
        time.sleep(0.01)
    site.view(2)
    os.kill(os.getpid(), signal.SIGKILL)

def ended():
    assert waiting() == 0
    site.view(10)
    assert waiting() > 0
    ours()._writer.finish()
    assert waiting() == 0
    site.view(11)  # after the end was told

site.activity()
first = child(killed)
after = set(viewed())
site.view(20)
is_waiting = waiting() > 0
assert child(ended) == 0
ended_child = [number for number in viewed() if number >= 10]
ours()._writer.finish()
results["killed"] = [first, 1 in after, is_waiting, ended_child, [number for number in viewed() if number >= 10]]
"""
STILL = """
import psutil
from sqlalchemy import create_engine
from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.host.event_rows import Event
from superset_ext.host.event_writer import EventWriter

engine = create_engine("{url}")
with engine.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE logs (id serial PRIMARY KEY, action text, user_id int, dashboard_id int, "
                               "slice_id int, json text, dttm timestamp, duration_ms int, referrer text)")

def event(number):
    row = dict.fromkeys(NAMES) | dict(action=str(number), json="[]", dttm=datetime.utcnow())
    return Event(engine, [row], 2)

writer = EventWriter(0.0)
writer._queue = BoundedQueue(50, 0, lambda event: event.size)
assert writer.put(event("before")) and writer.flush(600.0)
family = [psutil.Process({pid}), *psutil.Process({pid}).children(recursive=True)]
for process in family:
    process.suspend()
try:
    taken = [number for number in range(200) if writer.put(event(number))]
    bounded, refused = len(writer), writer._queue.newly_dropped()
finally:
    for process in reversed(family):
        process.resume()
assert writer.flush(600.0) and writer.put(event("after")) and writer.flush(600.0)
with engine.connect() as connection:
    there = [row[0] for row in connection.exec_driver_sql("SELECT action FROM logs ORDER BY id")]
results["still"] = [there == ["before", *map(str, taken), "after"], bounded, len(taken) + refused]
"""
LATE = {"SUPERSET_EXT_EVENT_LOG_SECONDS": "60"}
KEYS = "STORE_CACHE_KEYS_IN_METADATA_DB = True\n"


def ran(script: str, postgres: Postgres, valkey: Valkey, folder: Path, settings: str = "") -> Any:
    """What a script said in a Superset of its own, over two databases."""
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    own = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false", **LATE}
    return run(START + script + "\nsay(results)", metadata, source, folder, settings + CONFIG, SECONDS, **own)


@pytest.fixture(scope="module")
def results(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What everything came to, in one process; the last part leaves the log without its queue."""
    script = "".join((SHOWN, KEPT, ROWS, COMMITTED, COMMAND, WARMED, LOST))
    result: dict[str, Any] = ran(script, postgres, shared_valkey, tmp_path_factory.mktemp("events"), KEYS)
    return result


def test_the_rows_are_those_of_stock(results: dict[str, Any]) -> None:
    """Intent: every column of every row is what stock's logger writes for the same request, the text of the JSON
    included; the time is that of the event, and the answer has the same status. What has changed nothing waits, what
    has changed something is in the table by the answer."""
    cases = results["rows"]
    waited = {name: ours[2] for name, _, ours in cases}
    for name, stock, ours in cases:
        assert ours[:2] == stock[:2], name
        assert all(row["dttm"] for row in ours[1]), name
    assert sum(len(stock[1]) for _, stock, _ in cases) > 20
    assert waited["the same again"] >= 3
    assert waited["events"] and waited["a page"]
    assert not waited["an edit"]


def test_who_reads_the_log_sees_what_came_before(results: dict[str, Any]) -> None:
    """Intent: an event that still waits is shown by the next answer of this process, on Superset's home page and in the
    list of the log; and to a query of one's own."""
    assert results["shown"] == [[[True, 1], [True, 2], [True, 3]], 3, 5]


def test_a_transaction_that_sees_only_its_begin_sees_what_came_before(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """Intent: the same on Superset's pages where the metadata database isolates transactions; a query of somebody's own
    sees what its transaction began with."""
    options = 'SQLALCHEMY_ENGINE_OPTIONS = {"isolation_level": "REPEATABLE READ"}\n'
    shown = ran(SHOWN, postgres, valkey, tmp_path, options)["shown"]
    assert shown[:2] == [[[True, 1], [True, 2], [True, 3]], 3]


def test_what_only_the_log_s_commit_committed_is_committed(results: dict[str, Any]) -> None:
    """Intent: Superset leaves rows of `cache_keys` in its session, for its logger to commit; they are kept, as stock
    keeps them, and so is what somebody's own view has left, by the ORM or by SQL, flushed or not."""
    assert results["kept"] == [[1, 3], [2, 6]]


def test_who_has_committed_something_is_known_by_number(results: dict[str, Any]) -> None:
    """Intent: a request that commits before it is logged has the user's number in its row, as with stock, and no
    statement reads the user again for it."""
    assert results["committed"] == [[1], []]


def test_what_is_no_request_is_written_at_once(results: dict[str, Any]) -> None:
    """Intent: commands, tasks and scripts, which may not end for long, log and commit as with stock."""
    assert results["command"] == ["of a command", 1]


def test_only_a_process_that_answers_requests_looks_at_what_it_sends(results: dict[str, Any]) -> None:
    """Intent: a worker or a command, whose events are in the table at once, passes through nothing of ours on the
    way of a statement; a server does so from its first request on."""
    assert results["looking"] == [False, True]


def test_what_warming_logs_is_written_at_the_end_of_its_request(results: dict[str, Any]) -> None:
    """Intent: the rows are stock's, by one commit for all, which keeps what Superset has left to its logger; nothing of
    them waits in the worker, and none is lost where the request fails, its transaction with it or not."""
    (within, rows, kept), (none_within, same, kept_too), waits, faults = results["warmed"]
    assert within == len(rows) > 1
    assert (none_within, same) == (0, rows)
    assert kept_too > kept
    assert (waits, faults) == (0, [1, 1])


def test_an_event_is_lost_for_no_other_s_fault(results: dict[str, Any]) -> None:
    """Intent: while the metadata database takes nothing, events wait; afterwards each is there once. One that it
    refuses is dropped alone, as stock drops it; that of somebody who is gone stays without the user; what finds no room
    is written by its request."""
    assert results["lost"] == [False, 1, [1], [[1, 1], [7, None], [8, 1]], 21, 1]


@pytest.mark.thorough
def test_a_killed_process_loses_only_what_waits_and_one_that_ends_nothing(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """Intent: rows are written by themselves while nobody asks for anything; after SIGKILL only those are gone that
    waited then; a process that ends in order, and a child of it, write what they have, each its own."""
    killed = ran(KILLED, postgres, valkey, tmp_path)["killed"]
    assert killed == [9, True, True, [10, 11], [10, 11, 20]]


@pytest.mark.thorough
def test_while_the_metadata_database_stands_still_what_waits_is_bounded_and_kept(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """Intent: a server that does not answer holds up nobody who logs; what finds no room is refused and counted; of
    what was taken over, each row is there once when the server goes on."""
    with postgres_in(tmp_path / "still") as server:
        script = STILL.format(url=server.create_database("logs"), pid=server.pid)
        assert ran(script, postgres, valkey, tmp_path)["still"] == [True, 50, 200]
