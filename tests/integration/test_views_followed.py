"""Views, materialized views and partitions, as PostgreSQL's own catalog knows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.cache.tags import Table
from superset_ext.freshness.views import follow

MADE = """
CREATE SCHEMA away; CREATE SCHEMA "Odd.Name";
CREATE TABLE orders (id int, amount int);
CREATE TABLE away.customers (id int);
CREATE TABLE "Odd.Name"."Mixed Case" (id int);
CREATE VIEW one AS SELECT o.amount FROM orders o JOIN away.customers c USING (id);
CREATE VIEW two AS SELECT count(*) AS n FROM one;
CREATE MATERIALIZED VIEW kept AS SELECT n FROM two;
CREATE VIEW three AS SELECT n, (SELECT count(*) FROM "Odd.Name"."Mixed Case") AS m FROM kept;
CREATE TABLE part (at date, n int) PARTITION BY RANGE (at);
CREATE TABLE part_2026 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (n);
CREATE TABLE part_2026_1 PARTITION OF part_2026 FOR VALUES IN (1);
CREATE RECURSIVE VIEW tree (n) AS SELECT id FROM orders UNION SELECT n + 1 FROM tree WHERE n < 3;
CREATE VIEW of_part AS SELECT n FROM part_2026_1;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(database_url)) as made:
        made.cursor().execute(MADE)
        made.commit()
        yield made


def named(*names: str) -> frozenset[Table]:
    """Tables from schema.name, or a name alone."""
    return frozenset(Table(*name.rsplit(".", 1)) if "." in name else Table("", name) for name in names)


ONE = {"public.one", "public.orders", "away.customers"}
THREE = {*ONE, "public.two", "public.kept", "public.three", "odd.name.mixed case"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("public.orders", {"public.orders"}),
        ("ORDERS", {"public.orders"}),
        ("one", ONE),
        ("public.two", {*ONE, "public.two"}),
        ("three", THREE),
        ("Odd.Name.Mixed Case", {"odd.name.mixed case"}),
        ("tree", {"public.tree", "public.orders"}),
        ("part", {"public.part"}),
        ("public.part_2026_1", {"public.part_2026_1", "public.part_2026", "public.part"}),
        ("of_part", {"public.of_part", "public.part_2026_1", "public.part_2026", "public.part"}),
        ("customers", {"customers"}),
        ("away.gone", {"away.gone"}),
    ],
)
def test_what_a_name_depends_on(connection: Any, asked: str, found: set[str]) -> None:
    """Intent: down through views, up through partitions, and never a failure."""
    assert follow(connection, named(asked)) == named(*found)


def test_what_changes_with_a_partition(connection: Any) -> None:
    """Intent: its parents; a view over a table is found by the view's readers, not by the table's writers."""
    assert follow(connection, named("part_2026_1"), views=False) == named(
        "public.part_2026_1", "public.part_2026", "public.part"
    )
    assert follow(connection, named("two"), views=False) == named("public.two")


def test_the_search_path_decides(connection: Any) -> None:
    """Intent: a name without a schema is what the connection takes it for."""
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE away.orders (id int); SET search_path = away, public")
    connection.commit()
    assert follow(connection, named("orders")) == named("away.orders")
    assert follow(connection, named("one")) == named(*ONE)


def test_a_view_that_was_defined_anew(connection: Any) -> None:
    """Intent: what it reads now, under the name that its table has now."""
    cursor = connection.cursor()
    cursor.execute("CREATE OR REPLACE VIEW one AS SELECT 1 AS amount FROM away.customers")
    cursor.execute("ALTER TABLE away.customers RENAME TO clients")
    connection.commit()
    assert follow(connection, named("one")) == named("public.one", "away.clients")


def test_among_ten_thousand_relations_and_without_rights(connection: Any) -> None:
    """Intent: it is still one short query, and needs no right on what it looks at."""
    cursor = connection.cursor()
    for number in range(500):
        cursor.execute(f"CREATE VIEW v{number} AS SELECT {number} AS n FROM orders")
    cursor.execute("CREATE ROLE stranger; REVOKE ALL ON SCHEMA away FROM PUBLIC; SET ROLE stranger")
    try:
        assert follow(connection, named("public.three")) == named(*THREE)
    finally:
        connection.rollback()
