"""A source with the table `sales`, and what Superset knows of it: datasets, and people with rules for rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from testing.aggregate_tables import SALES, built, run
from testing.in_process import InProcess

BY_DAY = """
SELECT DATE_TRUNC('day', ts) AS day, shop, COUNT(*) AS n, COUNT(amount) AS c, COUNT(price) AS d,
    SUM(amount) AS a, SUM(price) AS p,
    MIN(amount) AS low, MAX(price) AS high
FROM sales GROUP BY DATE_TRUNC('day', ts), shop
"""
VIRTUAL = "SELECT shop, amount FROM public.sales WHERE price > 10"
JINJA = "SELECT shop, amount FROM sales WHERE shop = '{{ current_username() }}' OR 1 = 1"
PASS = "a password of some length"


@dataclass(frozen=True)
class Shop:
    """A source with the table `sales`, and what Superset knows of it.

    Attributes:
        name, number: of the database in Superset, and its id.
        url: of the source.
        sales, virtual, jinja: ids of datasets.
        rulers: names of users whose rows a rule limits, with the shop that each sees.
    """

    name: str
    number: int
    url: str
    sales: int
    virtual: int
    jinja: int
    rulers: dict[str, str]

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """To the source, without a transaction."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            yield connection

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL on the source."""
        with self.connection() as connection:
            return run(connection, sql)

    def build(self, sql: str = BY_DAY, name: str = "by_day", **options: Any) -> None:
        """Build an aggregate there."""
        with self.connection() as connection:
            built(connection, sql, name, **options)


@contextmanager
def shop_in(app: InProcess, url: str) -> Iterator[Shop]:
    """Fill an empty database, and let Superset know it."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        run(connection, SALES)
    with known_to(app, url, "public", (VIRTUAL, JINJA)) as shop:
        yield shop


@contextmanager
def known_to(app: InProcess, url: str, schema: str, texts: tuple[str, str]) -> Iterator[Shop]:
    """Let Superset know a source.

    Args:
        texts: the queries of two virtual datasets, the second with a template.
    """
    with app.awake(), app.app.app_context():
        shop = _made(url, schema, texts)
    yield shop
    with app.awake(), app.app.app_context():
        _unmake(shop)


def _made(url: str, schema: str, texts: tuple[str, str]) -> Shop:
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
    from superset.extensions import db, security_manager
    from superset.models.core import Database

    name = f"shop {uuid.uuid4().hex[:8]}"
    database = Database(database_name=name)
    database.set_sqlalchemy_uri(url)
    db.session.add(database)
    db.session.flush()
    datasets = []
    for title, sql in (("sales", None), (f"virtual {name}", texts[0]), (f"jinja {name}", texts[1])):
        dataset = SqlaTable(table_name=title, sql=sql, database=database, schema=schema)
        db.session.add(dataset)
        db.session.flush()
        dataset.fetch_metadata()
        datasets.append(dataset)
    rulers = {}
    for clause in (
        "shop = 'shop3'", "amount > 4", "shop <> 'shop0'", "shop LIKE 'shop%' AND shop < 'shop3'",
        "shop IN ('shop1', 'shop2') OR shop IS NULL",
    ):  # fmt: skip
        user = f"ruled_{uuid.uuid4().hex[:8]}"
        role = security_manager.add_role(f"role of {user}")
        for permission, view in (
            ("all_datasource_access", "all_datasource_access"), ("can_read", "Chart"), ("can_read", "Dataset"),
            ("can_write", "Chart"), ("can_read", "ChartDataRestApi"),
        ):  # fmt: skip
            if granted := security_manager.find_permission_view_menu(permission, view):
                security_manager.add_permission_role(role, granted)
        security_manager.add_user(user, "R", "U", f"{user}@example.org", role, PASS)
        rule = RowLevelSecurityFilter(
            name=user, filter_type="Regular", tables=datasets[:2], roles=[role], clause=clause
        )
        db.session.add(rule)
        rulers[user] = clause
    db.session.commit()
    sales, virtual, jinja = (one.id for one in datasets)
    return Shop(name, database.id, url, sales, virtual, jinja, rulers)


def _unmake(shop: Shop) -> None:
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.extensions import db, security_manager
    from superset.models.core import Database

    rules = db.session.query(RowLevelSecurityFilter).filter(RowLevelSecurityFilter.name.in_(shop.rulers)).all()
    database = db.session.query(Database).filter_by(database_name=shop.name).one()
    for thing in (*rules, database, *(security_manager.find_user(name) for name in shop.rulers)):
        db.session.delete(thing)
    db.session.commit()
