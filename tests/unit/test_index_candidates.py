"""Which indexes are looked at, from the text of statements and what a catalog says of their tables."""

from __future__ import annotations

import pytest

from superset_ext.plans.indexes.candidates import MOST_INCLUDED, Wanted, candidates, could_use
from superset_ext.plans.indexes.catalog import Catalog, Column, Table
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.uses import Use, tree_of, uses_of

ORDERS = TableName("shop", "orders")
COLUMNS = {
    "id": Column("id", distinct=1e6), "tenant": Column("tenant", distinct=50),
    "customer": Column("customer", distinct=9e4),
    "status": Column("status", "text", 8.0, -1, distinct=4), "placed": Column("placed", "date", correlation=0.999),
    "moment": Column("moment", "timestamp without time zone", 8.0, 8, 8),
    "zoned": Column("zoned", "timestamp with time zone", 8.0, 8, 8), "email": Column("email", "text", 20.0, -1),
    "total": Column("total", "numeric", 6.0, -1), "gone": Column("gone", "timestamp without time zone", 8.0, 8, 8),
    "note": Column("note", "text", 80.0, -1), "colour": Column("colour", "text", 6.0, -1),
}  # fmt: skip
CATALOG = Catalog(
    (
        Table(ORDERS, 1e6, 20_000, COLUMNS),
        Table(TableName("shop", "customers"), 9e4, 2_000, {"key": Column("key"), "country": Column("country")}),
        Table(TableName("other", "orders"), 10.0, 1, {"id": Column("id")}, visible=False),
    )
)


def uses(sql: str) -> list[Use]:
    tree = tree_of(sql)
    assert tree is not None
    return uses_of(tree, CATALOG)


def keys(*statements: str, wanted: Wanted | None = None) -> set[str]:
    """The candidates as `method table(keys)[included]{where}`, of the table of orders."""
    plain = Wanted(include=False, partial=False, brin=False)
    indexes = candidates([uses(sql) for sql in statements], wanted or plain)
    return {index.definition.partition(" USING ")[2] for index in indexes if index.table == ORDERS}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(total) FROM orders WHERE tenant = 1 AND placed >= '2025-01-01' AND placed < '2025-02-01'",
        "SELECT sum(o.total) FROM shop.orders AS o WHERE o.tenant IN (1, 2) AND o.placed BETWEEN '2025-01-01' AND $1",
        "SELECT sum(total) FROM (SELECT * FROM orders) AS virtual_table WHERE tenant = 1 AND placed > '2025-01-01'",
        "SELECT sum(t) FROM (SELECT total AS t, tenant AS x, placed AS y FROM orders) AS v WHERE x = 1 AND y > $1",
        "WITH o AS (SELECT tenant AS x, placed FROM orders) SELECT count(*) FROM o WHERE x = 1 AND placed > $1",
        "WITH orders AS (SELECT * FROM orders) SELECT count(*) FROM orders WHERE tenant = 1 AND placed > '2025-01-01'",
        "SELECT 1 FROM customers WHERE EXISTS (SELECT FROM orders WHERE tenant = 1 AND customer = key AND placed > $1)",
        "SELECT count(*) FROM orders WHERE (tenant = 1) AND NOT (placed < '2025-01-01')",
    ],
    ids=["plain", "alias", "virtual dataset", "renamed", "cte", "cte of the same name", "correlated", "negated"],
)  # fmt: skip
def test_what_is_equal_comes_before_a_range(sql: str) -> None:
    """Intent: however a chart's SQL is wrapped, the index that a person would make is among the candidates."""
    assert 'btree ("tenant", "placed")' in keys(sql)


def test_a_name_means_the_column_that_the_server_would_take() -> None:
    """Intent: no index on a table that another schema or query only calls the same."""
    assert keys("SELECT id FROM other.orders WHERE id = 1") == set()
    assert keys("WITH orders AS (SELECT 1 AS tenant) SELECT * FROM orders WHERE tenant = 1") == set()
    assert 'btree ("customer")' in keys("SELECT country FROM customers JOIN orders ON key = customer WHERE country = 1")


def test_equal_columns_begin_with_the_one_that_tells_rows_apart() -> None:
    """Intent: a prefix of the index serves other statements well."""
    assert 'btree ("customer", "status", "placed")' in keys(
        "SELECT 1 FROM orders WHERE status = 'a' AND customer = 3 AND placed > '2025-01-01'"
    )


def test_an_order_follows_what_is_equal() -> None:
    """Intent: the newest rows of a customer are read from the end of an index and not sorted."""
    assert 'btree ("customer", "moment")' in keys(
        "SELECT id FROM orders WHERE customer = 3 ORDER BY moment DESC LIMIT 10"
    )
    assert 'btree ("status", "tenant")' in keys("SELECT status, tenant, count(*) FROM orders GROUP BY 1, 2")


def test_what_every_statement_compares_comes_first() -> None:
    """Intent: a tenant that row-level security puts into each statement begins every composite index."""
    own = keys(
        "SELECT 1 FROM orders WHERE tenant = 1 AND customer = 3",
        "SELECT 1 FROM orders WHERE tenant = 2 AND placed > '2025-01-01'",
    )
    assert {'btree ("tenant", "customer")', 'btree ("tenant", "placed")'} <= own


def test_a_covering_index_has_the_rest_of_the_columns_up_to_a_limit() -> None:
    """Intent: a few columns more keep a statement out of the table; many are a copy of it."""
    wanted = Wanted(partial=False, brin=False)
    sql = "SELECT sum(total) FROM orders WHERE tenant = 1"
    assert 'btree ("tenant") INCLUDE ("total")' in keys(sql, wanted=wanted)
    many = "SELECT id, customer, status, email, total, note, colour FROM orders WHERE tenant = 1"
    assert not any("INCLUDE" in index for index in keys(many, wanted=wanted))
    assert MOST_INCLUDED == 5


def test_a_partial_index_has_what_most_statements_ask() -> None:
    """Intent: the condition of a partial index is one that most statements have, and only a value that is shown."""
    wanted = Wanted(include=False, brin=False)
    live = "SELECT count(*) FROM orders WHERE gone IS NULL AND customer = 1"
    other = "SELECT count(*) FROM orders WHERE gone IS NULL AND tenant = 2"
    assert 'btree ("customer") WHERE "gone" IS NULL' in keys(live, other, wanted=wanted)
    hidden = "SELECT count(*) FROM orders WHERE status = $1 AND customer = $2"
    assert not any("WHERE" in index for index in keys(hidden, hidden, wanted=wanted))
    either = "SELECT count(*) FROM orders WHERE (gone IS NULL OR tenant = 1) AND customer > 1"
    assert not any("WHERE" in index for index in keys(either, either, wanted=wanted))


def test_a_partial_index_is_of_no_use_without_its_condition() -> None:
    """Intent: a plan that could not use an index is not asked for."""
    partial = Index(ORDERS, (Key("customer"),), where='"gone" IS NULL')
    assert could_use(partial, uses("SELECT 1 FROM orders WHERE gone IS NULL AND customer = 1"))
    assert not could_use(partial, uses("SELECT 1 FROM orders WHERE customer = 1"))


@pytest.mark.parametrize(
    ("condition", "key"),
    [
        ("lower(email) = 'a'", '(LOWER("email"))'),
        ("extract(year FROM placed) = 2025", '(EXTRACT(YEAR FROM "placed"))'),
        ("extract(year FROM o.moment) = 2025", '(EXTRACT(YEAR FROM "moment"))'),
        ("date_trunc('MONTH', moment) = '2025-01-01'", "(DATE_TRUNC('MONTH', \"moment\"))"),
    ],
)
def test_a_function_of_a_column_is_a_key(condition: str, key: str) -> None:
    """Intent: where a function hides the column, an index on the function does what one on the column cannot."""
    assert f"btree ({key})" in keys(f"SELECT 1 FROM orders AS o WHERE {condition}")


@pytest.mark.parametrize(
    "condition",
    ["date_trunc('month', zoned) = '2025-01-01'", "extract(year FROM zoned) = 2025",
     "date_trunc('month', placed) = '2025-01-01'",
     "date_trunc($1, moment) = $2", "random() < 0.5"],
)  # fmt: skip
def test_what_depends_on_the_session_is_no_key(condition: str) -> None:
    """Intent: PostgreSQL refuses an index on what the time zone of a session decides, or that nobody knows."""
    assert not any("(" in index.removeprefix("btree (") for index in keys(f"SELECT 1 FROM orders WHERE {condition}"))


def test_rows_in_the_order_of_a_column_are_worth_brin() -> None:
    """Intent: a table that grows by date has an index of a few pages, and one in no order has none."""
    wanted = Wanted(include=False, partial=False)
    assert 'brin ("placed")' in keys("SELECT 1 FROM orders WHERE placed > '2025-01-01'", wanted=wanted)
    assert 'brin ("customer")' not in keys("SELECT 1 FROM orders WHERE customer > 3", wanted=wanted)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE orders", "not SQL at all (", "",
        "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone", "SELECT * INTO copy FROM orders",
        "SELECT * FROM orders FOR UPDATE", "COPY orders TO PROGRAM 'x'", "EXPLAIN ANALYZE SELECT 1", "CALL f()",
    ],
)  # fmt: skip
def test_only_one_single_query_is_looked_at(sql: str) -> None:
    """Intent: what is no plain query is never sent to a source, not even to be planned."""
    assert tree_of(sql) is None


def test_names_of_indexes_differ_where_their_definitions_do() -> None:
    """Intent: two proposals can be made side by side, and a name fits into PostgreSQL's 63 bytes."""
    long = TableName("shop", "a_table_with_a_name_that_goes_on_and_on_for_quite_a_while")
    indexes = [Index(long, (Key("a"),)), Index(long, (Key("a"),), ("b",)), Index(long, (Key("a"),), where="b IS NULL")]
    names = {index.name for index in indexes}
    assert len(names) == 3
    assert all(len(name.encode()) <= 63 for name in names)


def test_statements_for_people_lock_nobody_out() -> None:
    """Intent: what is printed can be run on a busy source, and taken back; names are quoted."""
    index = Index(TableName('we"ird', "t"), (Key("A b"),))
    assert index.create.startswith("CREATE INDEX CONCURRENTLY ")
    assert 'ON "we""ird"."t" USING btree ("A b")' in index.create
    assert index.drop == f'DROP INDEX CONCURRENTLY IF EXISTS "we""ird"."{index.name}";'
