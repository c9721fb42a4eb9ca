"""`superset perf explain` in a real Superset, on a real source."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testing.databases import Databases
from testing.in_process import InProcess
from testing.plans import fill


@dataclass(frozen=True)
class Source:
    """A source that Superset knows.

    Attributes:
        name: of the database in Superset.
        chart: id of a chart on its table `orders`, of the rare orders of a city.
        virtual: id of a chart on a virtual dataset that sorts.
        user: name of a user with a row-level rule on `orders`.
    """

    name: str
    chart: int
    virtual: int
    user: str


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, in_process.awake():
        fill(url)
        with in_process.app.app_context():
            made = _made(url)
        yield made
        with in_process.app.app_context():
            _unmake(made)


def _made(url: str) -> Source:
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.extensions import db, security_manager
    from superset.models.core import Database

    name, user = f"plans {uuid.uuid4().hex[:8]}", f"ruled_{uuid.uuid4().hex[:8]}"
    database = Database(database_name=name, sqlalchemy_uri=url)
    database.set_sqlalchemy_uri(url)
    db.session.add(database)
    db.session.flush()
    orders = _dataset(database, "orders", None)
    sorting = _dataset(database, f"sorted {name}", "SELECT note, amount FROM orders ORDER BY note")
    rare = [{"col": "status", "op": "==", "val": "rare"}]
    charts = [_chart(orders, rare), _chart(sorting, [])]
    role = security_manager.add_role(f"role of {user}")
    security_manager.add_user(user, "R", "U", f"{user}@example.org", role, "a password of some length")
    rule = RowLevelSecurityFilter(
        name=user, filter_type="Regular", tables=[orders], roles=[role], clause="region = 'region 7'"
    )
    db.session.add(rule)
    db.session.commit()
    return Source(name, *(chart.id for chart in charts), user)


def _unmake(source: Source) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.extensions import db, security_manager
    from superset.models.core import Database
    from superset.models.slice import Slice

    rules = db.session.query(RowLevelSecurityFilter).filter_by(name=source.user).all()
    charts = db.session.query(Slice).filter(Slice.id.in_([source.chart, source.virtual])).all()
    database = db.session.query(Database).filter_by(database_name=source.name).one()
    for thing in (*rules, *charts, database, security_manager.find_user(source.user)):
        db.session.delete(thing)
    db.session.commit()


def _dataset(database: Any, name: str, sql: str | None) -> Any:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    dataset = SqlaTable(table_name=name, sql=sql, database=database, schema="public")
    db.session.add(dataset)
    db.session.flush()
    dataset.fetch_metadata()
    return dataset


def _chart(dataset: Any, filters: list[dict[str, Any]]) -> Any:
    from superset.extensions import db
    from superset.models.slice import Slice

    total = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}
    context = {
        "datasource": {"id": dataset.id, "type": "table"}, "force": False, "result_format": "json", "result_type": "full",
        "queries": [{"columns": [], "metrics": [total], "filters": filters, "row_limit": 100}],
    }  # fmt: skip
    chart = Slice(
        slice_name=f"of {dataset.table_name}", viz_type="big_number_total", datasource_type="table",
        datasource_id=dataset.id, params="{}", query_context=json.dumps(context),
    )  # fmt: skip
    db.session.add(chart)
    db.session.flush()
    return chart


def explained(app: InProcess, *words: str) -> Any:
    result = app.perf("explain", *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output)


def test_a_chart_is_explained(superset_app: InProcess, source: Source) -> None:
    """Intent: from the id of a chart to its plan, what is slow in it and the index that would help; no value in it."""
    (review,) = explained(superset_app, "--chart", str(source.chart))
    assert review["findings"][0]["kind"] == "filter_discards"
    assert review["findings"][0]["next_step"] == "CREATE INDEX CONCURRENTLY ON orders (status)"
    text = superset_app.perf("explain", "--chart", str(source.chart)).output
    assert "Seq Scan on orders" in text and "Brings: up to" in text
    assert "rare" not in text and "rare" not in json.dumps(review)


def test_it_is_the_sql_of_that_user(superset_app: InProcess, source: Source) -> None:
    """Intent: the row-level rule of whoever is named is part of what is explained, and of nobody else's."""
    (ruled,) = explained(superset_app, "--chart", str(source.chart), "--user", source.user)
    (free,) = explained(superset_app, "--chart", str(source.chart))
    assert "orders.region" in ruled["drawing"] and "orders.region" not in free["drawing"]
    assert "region 7" not in json.dumps(ruled)


def test_a_virtual_dataset_that_sorts_for_nothing(superset_app: InProcess, source: Source) -> None:
    """Intent: the costliest habit of virtual datasets is named for a chart on one."""
    (review,) = explained(superset_app, "--chart", str(source.virtual), "--analyze")
    assert "unneeded_order" in {finding["kind"] for finding in review["findings"]}
    assert review["plan"]["execution_ms"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["DELETE FROM orders"], "DELETE is not explained"), (["SELECT 1; SELECT 2"], "2 statements"),
        (["SELECT pg_sleep(600)", "--analyze"], "pg_sleep"), (["COPY orders TO PROGRAM 'true'"], "COPY is not"),
        (["SELECT * FROM nowhere"], 'relation "nowhere" does not exist'), (["SELECT 1", "--user", "nobody"], "no active user"),
        (["SELECT 1", "--chart", "1"], "give one SELECT, or"), (["--chart", "2147483"], "no chart"),
        (["SELECT count(*) FROM orders a, orders b, orders c WHERE a.id < b.id", "--analyze", "--timeout", "0.2"], "0.2 s"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(superset_app: InProcess, source: Source, words: list[str], line: str) -> None:
    """Intent: exit status 1 and one line that names the cause."""
    result = superset_app.perf("explain", *words, "--database", source.name)
    assert result.exit_code == 1 and line in result.output, result.output
    assert len(result.output.strip().splitlines()) == 1, result.output
