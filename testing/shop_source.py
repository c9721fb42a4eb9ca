"""The shop of `testing.indexes` as a database of Superset that a chart has asked, beside one of another kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Queried, Scope
from superset_ext.monitor.log.queries import QueryLog
from testing.in_process import InProcess
from testing.indexes import BY_CUSTOMER, fill


@dataclass(frozen=True)
class Shop:
    """A source that Superset knows.

    Attributes:
        name, number: of the database in Superset, and its id.
        dataset, chart: ids of those on its table `sales`.
    """

    name: str
    url: str
    number: int
    dataset: int
    chart: int


@contextmanager
def shop_in(app: InProcess, url: str, name: str) -> Iterator[Shop]:
    """Fill an empty database and let Superset know it by this name; a chart, `sales of …`, has asked it three times."""
    with app.awake():
        fill(url)
        with app.app.app_context():
            shop = _made(url, name)
        _log(app.url, shop)
        yield shop
        with app.app.app_context():
            _unmake(name)


def _made(url: str, name: str) -> Shop:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    database = Database(database_name=name)
    database.set_sqlalchemy_uri(url)
    db.session.add_all([database, Database(database_name=f"{name} of another kind", sqlalchemy_uri="sqlite://")])
    db.session.flush()
    dataset = SqlaTable(table_name="sales", database_id=database.id, schema="public")
    db.session.add(dataset)
    db.session.flush()
    chart = Slice(
        slice_name=f"sales of {name}", datasource_id=dataset.id, datasource_type="table", params="{}", viz_type="table"
    )
    db.session.add(chart)
    db.session.commit()
    return Shop(name, url, database.id, dataset.id, chart.id)


def _unmake(name: str) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    databases = db.session.query(Database).filter(Database.database_name.startswith(name)).all()
    ids = [database.id for database in databases]
    charts = db.session.query(Slice).filter_by(slice_name=f"sales of {name}").all()
    datasets = db.session.query(SqlaTable).filter(SqlaTable.database_id.in_(ids)).all()
    for item in [*charts, *datasets, *databases]:
        db.session.delete(item)
    db.session.commit()


def _log(url: str, shop: Shop) -> None:
    scope = Scope(channel="web", database_id=shop.number, chart_id=shop.chart, dataset_id=shop.dataset)
    with closing(LogDatabase(url)) as database:
        log = QueryLog(database, lambda: None)
        for number in range(3):
            sql = BY_CUSTOMER.replace("4711", str(number))
            event = Queried("chart", shop.number, "postgresql", sql, 250_000.0, time.monotonic(), scope, 1)
            log._hear("chart", event)
        log.flush()
