"""Superset's `logs` in batches: the rows are stock's, whoever reads them sees them, and none is lost in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.valkey import Valkey
from testing.databases import Databases
from testing.event_log import CONFIG
from testing.superset_app import SECONDS, run

START = """
from testing.event_log import *
site = Site(app, os.environ["METADATA"])
"""
LATE = {"SUPERSET_EXT_EVENT_LOG_SECONDS": "60"}  # later than any test ends


@pytest.fixture
def ran(databases: Databases, valkey: Valkey, tmp_path: Path) -> Iterator[Any]:
    """Runs a script in a Superset of its own, over two databases; what it said."""
    with databases.empty() as metadata, databases.empty() as source:

        def script(text: str, settings: str = CONFIG, **env: str) -> Any:
            own = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false", **env}
            return run(START + text, metadata, source, tmp_path, settings, SECONDS, **own)

        yield script


def test_the_rows_are_those_of_stock(ran: Any) -> None:
    """Intent: every column of every row is what stock's logger writes for the same request, the text of the JSON
    included; the time is that of the event, and the answer has the same status. What has changed nothing waits, what
    has changed something is in the table by the answer."""
    cases = ran(
        """
def both():
    for name, ask in site.requests():
        ask()
        with stocks():
            stock = logged(site, ask)
        yield name, stock, logged(site, ask)

say(list(both()))
""",
        **LATE,
    )
    waited = {name: ours[2] for name, _, ours in cases}
    for name, stock, ours in cases:
        assert ours[:2] == stock[:2], name
        assert all(row["dttm"] for row in ours[1]), name
    assert sum(len(stock[1]) for _, stock, _ in cases) > 20
    assert waited["the same again"] >= 3
    assert waited["events"] and waited["a page"]
    assert not waited["an edit"] and not waited["a favourite"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_who_reads_the_log_sees_what_came_before(ran: Any, isolation: str) -> None:
    """Intent: an event that still waits is shown by Superset's next answer of this process, on its home page, in the
    list of the log, and to a query of somebody's own, also where a transaction sees what was there when it began."""
    options = f'SQLALCHEMY_ENGINE_OPTIONS = {{"isolation_level": "{isolation}"}}\n'
    shown = ran(
        """
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
say([shown, json.loads(listed[0]["json"])["source_id"], own])
""",
        settings=options + CONFIG,
        **LATE,
    )
    assert shown == [[[True, 1], [True, 2], [True, 3]], 3, 5]


def test_what_only_the_log_s_commit_committed_is_committed(ran: Any) -> None:
    """Intent: Superset leaves rows of `cache_keys` in its session, for its logger to commit; they are kept, as stock
    keeps them, and so is what somebody's own view has left, by the ORM or by SQL, flushed or not."""
    kept = ran(
        """
from flask import request
from sqlalchemy import text
from superset.extensions import db, event_logger
from superset.models.core import FavStar

def left(how):
    def view():
        with event_logger.log_context("mine"):
            if how == "sql":
                db.session.execute(text("INSERT INTO favstar (user_id, class_name, obj_id) VALUES (1, 'mine', 1)"))
            else:
                db.session.add(FavStar(user_id=1, class_name="mine", obj_id=1))
            if how == "flushed":
                db.session.flush()
        return "done"
    return view

for how in ("sql", "orm", "flushed"):
    app.add_url_rule(f"/mine/{how}", how, left(how))

def kept():
    return [site.sql("SELECT count(*) FROM cache_keys")[0][0], site.sql("SELECT count(*) FROM favstar")[0][0]]

def all_kept(limit):
    site.ask("POST", "/api/v1/chart/data", json={**site.body, "queries": [{**site.body["queries"][0], "row_limit": limit}]})
    for how in ("sql", "orm", "flushed"):
        assert site.ask("GET", f"/mine/{how}").status_code == 200
    return kept()

with stocks():
    stock = all_kept(11)
say([stock, all_kept(12)])
""",
        settings="STORE_CACHE_KEYS_IN_METADATA_DB = True\n" + CONFIG,
        **LATE,
    )
    assert kept == [[1, 3], [2, 6]]


def test_what_is_no_request_is_written_at_once(ran: Any) -> None:
    """Intent: commands, tasks and scripts, which may not end for long, log and commit as with stock."""
    assert ran(
        """
from superset.extensions import db, event_logger
from superset.models.core import FavStar

with event_logger.log_context("of a command"):
    db.session.add(FavStar(user_id=1, class_name="mine", obj_id=1))
say([site.rows()[-1]["action"], site.sql("SELECT count(*) FROM favstar")[0][0]])
""",
        **LATE,
    ) == ["of a command", 1]
