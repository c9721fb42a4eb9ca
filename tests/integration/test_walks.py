"""How far a reader of the code has to go to follow a change, an outcome and a warm run: no further than at first.

The bounds are what the package took before its folders were made, or less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from superset_ext.events import Outcome, Scope, outcome
from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.host.event_watch import STATEMENT, about_to_execute
from superset_ext.host.people import Identity
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import Targets
from superset_ext.sqltables.table import Table
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, discovered_use
from superset_ext.warm.run import runs, worker
from superset_ext.warm.work import work
from testing.in_process import InProcess
from testing.walk import Walk, walk

CHANGED, OUTCOME, RUN = 35, 90, 266


@pytest.fixture
def source(superset_app: InProcess, database_url: str) -> Iterator[int]:
    """Superset's id of a database with the table `walked`."""
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE walked (owner text); INSERT INTO walked VALUES ('a'), ('b')")
    from superset.extensions import db
    from superset.models.core import Database

    with superset_app.app.app_context():
        made = Database(database_name="walked")
        made.set_sqlalchemy_uri(database_url)
        db.session.add(made)
        db.session.commit()
        yield int(made.id)
        db.session.delete(made)
        db.session.commit()


@pytest.fixture
def dataset(source: int) -> Iterator[int]:
    """Superset's id of the dataset over `walked`."""
    from superset.connectors.sqla.models import SqlaTable, TableColumn
    from superset.extensions import db

    made = SqlaTable(table_name="walked", schema="public", database_id=source)
    made.columns = [TableColumn(column_name="owner", type="TEXT")]
    db.session.add(made)
    db.session.commit()
    yield int(made.id)
    db.session.delete(made)
    db.session.commit()


def body(dataset: int, limit: int) -> str:
    query = {"columns": ["owner"], "metrics": [], "row_limit": limit}
    return json.dumps(
        {
            "datasource": {"id": dataset, "type": "table"},
            "queries": [query],
            "form_data": {},
            "result_format": "json",
            "result_type": "full",
        }
    )


def test_a_change_is_a_short_walk(source: int) -> None:
    """Intent: from the verb to its stamps, the log and what hears of it."""
    change = Change("cli", "data_update", tables=[SourceTable(source, Table("public", "walked"))])
    changed(change)
    steps = walk(lambda: changed(change))
    assert steps.stops <= CHANGED, "\n".join(steps.steps)


def test_an_outcome_is_a_short_walk(superset_app: InProcess, dataset: int) -> None:
    """Intent: from the signal to a count, and from the counts to the log with what is written beside them."""
    recorder = superset_app.package.recorder
    assert isinstance(recorder, Recorder)
    counted = Outcome("chart_data", None, 1.0, scope=Scope(dataset_id=dataset))

    def count_and_write() -> None:
        outcome.send("chart_data", event=counted)
        assert recorder.flush()

    count_and_write()
    steps = min((walk(count_and_write) for _ in range(3)), key=lambda walked: walked.stops)
    assert steps.stops <= OUTCOME, steps.steps


@pytest.fixture
def worker_s() -> Iterator[None]:
    """What warming's worker is: a process that answers no requests, and so looks at no statement for the log."""
    is_looking = event.contains(Engine, STATEMENT, about_to_execute)
    if is_looking:
        event.remove(Engine, STATEMENT, about_to_execute)
    yield
    if is_looking:
        event.listen(Engine, STATEMENT, about_to_execute)


@pytest.mark.usefixtures("worker_s")
def test_a_warm_run_is_a_walk_that_one_can_follow(
    superset_app: InProcess, source: int, dataset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: from a plan of an entry that is there and one that is not, to the entry, the items and the registry."""
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 60.0)  # a slow machine looks no more often
    database, settings = superset_app.package.log(), superset_app.package.settings
    ids = Ids(dataset=dataset, database=source)

    def run(limit: int) -> Walk:
        request = ChartRequest("data", "/api/v1/chart/data", "", body(dataset, limit))
        tables.write(database, settings, [discovered_use(request, Identity(1), ids)])
        run_id, _ = runs.create(database, Targets.model_validate({"datasets": (dataset,)}), "test")
        steps = walk(lambda: work(superset_app.app, database, settings, run_id), thread="superset_ext-warm")
        status = runs.status(database, run_id)
        assert (status["state"], status["failed"]) == ("done", 0), status
        if limit > 10:
            tables.drop(database, request.fingerprint())
        return steps

    run(10)
    steps = min((run(limit) for limit in (20, 30, 40)), key=lambda walked: walked.stops)  # without what only some meet
    assert steps.stops <= RUN, "\n".join(steps.steps)
