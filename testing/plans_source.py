"""The source of `testing.plans` as a database of Superset, with charts on it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testing.in_process import InProcess
from testing.plans import fill


@dataclass(frozen=True)
class Source:
    """A source that Superset knows.

    Attributes:
        name, number: of the database in Superset, and its id.
        url: of the database itself.
        orders, few: ids of datasets on its tables of these names.
        chart: id of a chart on its table `orders`, of the rare orders of a city.
        virtual: id of a chart on a virtual dataset that sorts.
        user: name of a user with a row-level rule on `orders`.
    """

    name: str
    number: int
    url: str
    orders: int
    few: int
    chart: int
    virtual: int
    user: str


@contextmanager
def source_in(app: InProcess, url: str) -> Iterator[Source]:
    """Fill an empty database, and let Superset know it."""
    fill(url)
    with app.awake(), app.app.app_context():
        made = _made(url)
    yield made
    with app.awake(), app.app.app_context():
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
    orders, few = (_dataset(database, table, None) for table in ("orders", "few"))
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
    return Source(name, database.id, url, orders.id, few.id, charts[0].id, charts[1].id, user)


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
        "datasource": {"id": dataset.id, "type": "table"}, "force": False, "result_format": "json",
        "result_type": "full",
        "queries": [{"columns": [], "metrics": [total], "filters": filters, "row_limit": 100}],
    }  # fmt: skip
    chart = Slice(
        slice_name=f"of {dataset.table_name}", viz_type="big_number_total", datasource_type="table",
        datasource_id=dataset.id, params="{}", query_context=json.dumps(context),
    )  # fmt: skip
    db.session.add(chart)
    db.session.flush()
    return chart
