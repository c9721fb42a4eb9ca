"""`superset perf indexes` in a real Superset, on a real source, from a real query log."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Queried, Scope
from superset_ext.monitor.log.queries import QueryLog
from testing.databases import Databases
from testing.in_process import InProcess
from testing.indexes import BY_CUSTOMER, fill, objects

NAME = f"shop {uuid.uuid4().hex[:8]}"
CHART = f"sales of {NAME}"


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[str]:
    """The URL of a source that Superset knows by `NAME`, which a chart has asked three times; its log is written."""
    with databases.empty() as url, in_process.awake():
        fill(url)
        with in_process.app.app_context():
            database_id, chart_id = _made(url)
        _log(in_process.url, database_id, chart_id)
        yield url
        with in_process.app.app_context():
            _unmake()


def _made(url: str) -> tuple[int, int]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    database = Database(database_name=NAME)
    database.set_sqlalchemy_uri(url)
    db.session.add_all([database, Database(database_name=f"{NAME} of another kind", sqlalchemy_uri="sqlite://")])
    db.session.flush()
    dataset = SqlaTable(table_name="sales", database_id=database.id, schema="public")
    db.session.add(dataset)
    db.session.flush()
    chart = Slice(slice_name=CHART, datasource_id=dataset.id, datasource_type="table", params="{}", viz_type="table")
    db.session.add(chart)
    db.session.commit()
    return database.id, chart.id


def _unmake() -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    databases = db.session.query(Database).filter(Database.database_name.startswith(NAME)).all()
    ids = [database.id for database in databases]
    charts = db.session.query(Slice).filter_by(slice_name=CHART).all()
    datasets = db.session.query(SqlaTable).filter(SqlaTable.database_id.in_(ids)).all()
    for item in [*charts, *datasets, *databases]:
        db.session.delete(item)
    db.session.commit()


def _log(url: str, database_id: int, chart_id: int) -> None:
    scope = Scope(channel="web", database_id=database_id, chart_id=chart_id)
    with closing(LogDatabase(url)) as database:
        log = QueryLog(database, lambda: None)
        for number in range(3):
            sql = BY_CUSTOMER.replace("4711", str(number))
            event = Queried("chart", database_id, "postgresql", sql, 2000.0, time.monotonic(), scope, 1)
            log._hear("chart", event)
        log.flush()


def advice(app: InProcess, *words: str) -> Any:
    result = app.perf("indexes", "--json", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output)


def test_the_slow_chart_leads_to_its_index(superset_app: InProcess, source: str) -> None:
    """Intent: from what a chart asked to a statement that somebody can run, with who gains; the source is as before."""
    before = objects(source)
    (result,) = advice(superset_app, "--database", NAME)
    (proposal,) = result["proposals"]
    assert proposal["create"].startswith("CREATE INDEX CONCURRENTLY ")
    assert 'ON "public"."sales" USING btree ("customer", "placed")' in proposal["create"]
    assert proposal["drop"].startswith("DROP INDEX CONCURRENTLY IF EXISTS ")
    assert [chart["name"] for chart in proposal["charts"]] == [CHART]
    assert (result["costed"], proposal["seconds_saved"]) == (False, None)
    assert proposal["seconds_that_could_use_it"] == pytest.approx(6.0)
    assert [(item["kind"], item["index"]) for item in result["needless"]] == [("duplicate", "sales_shop")]
    assert objects(source) == before


def test_a_person_reads_the_same(superset_app: InProcess, source: str) -> None:
    """Intent: the text has the statements, the charts, and that nothing was costed; no value of a query is in it."""
    result = superset_app.perf("indexes", "--database", NAME)
    assert result.exit_code == 0, (result.output, result.exception)
    for part in ("CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY", CHART, "not costed", "duplicate: sales_shop"):
        assert part in result.output
    assert "2024-03-01" not in result.output


def test_a_budget_is_kept(superset_app: InProcess, source: str) -> None:
    """Intent: nothing is proposed that does not fit, and a size is read as people write it."""
    (result,) = advice(superset_app, "--database", NAME, "--budget", "1KB")
    assert (result["proposals"], result["budget_bytes"]) == ([], 1024)
    bad = superset_app.perf("indexes", "--database", NAME, "--budget", "much")
    assert (bad.exit_code, "'much' is no size" in bad.output) == (2, True)


def test_another_engine_is_refused_with_a_line(superset_app: InProcess, source: str) -> None:
    """Intent: what cannot be advised is named, with the reason; so is a database that there is not."""
    for name, reason in ((f"{NAME} of another kind", "is sqlite"), ("no such one", "Superset has no database")):
        result = superset_app.perf("indexes", "--database", name)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output
        assert reason in result.output


def test_a_source_that_is_away_hides_no_other(superset_app: InProcess, source: str) -> None:
    """Intent: without a name every PostgreSQL is looked at, and one that does not answer says so in its place."""
    from superset.extensions import db
    from superset.models.core import Database

    with superset_app.app.app_context():
        away = Database(database_name=f"{NAME} away")
        away.set_sqlalchemy_uri("postgresql://nobody:secret@127.0.0.1:1/none")
        db.session.add(away)
        db.session.commit()
    results = {result["database"]: result for result in advice(superset_app)}
    assert results[NAME]["proposals"]
    assert "cannot be connected to" in results[f"{NAME} away"]["error"]
    assert "secret" not in json.dumps(results)
