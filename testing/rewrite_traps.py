"""Queries on which rewriting goes wrong: what means another thing with NULL, duplicates, ties, zones or cut texts.

Each runs on tables that spring the trap. No rule may give another answer; `untouched` are those that no automatic rule
may change at all.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLES = (
    "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, customer int, item int NOT NULL, placed date, since timestamp,"
    " z timestamptz, amount numeric(8, 2), weight float8, note text, code char(3))",
    "CREATE TABLE customers (id int NOT NULL PRIMARY KEY, area int, name text)",
    "CREATE TABLE items (id int NOT NULL, title text)",
    "CREATE TABLE nothing (id int, other int NOT NULL)",
    "INSERT INTO customers VALUES (1, 1, 'a'), (2, NULL, 'b'), (3, 2, NULL), (4, 1, 'a')",
    "INSERT INTO items VALUES (1, 'x'), (1, 'x'), (2, 'y'), (3, NULL)",
    "INSERT INTO orders VALUES"
    " (1, 1, 1, '2024-01-01', '2024-01-01 00:00:00', '2024-01-01 00:00:00+00', 1.00, 0.1, 'b', 'a'),"
    " (2, 1, 1, '2024-12-31', '2024-12-31 23:59:59.999999', '2025-01-01 03:00:00+00', 2.50, 1e16, 'a', 'b'),"
    " (3, NULL, 2, '2025-01-01', '2025-01-01 00:00:00', '2025-01-01 00:00:00+00', NULL, 0.2, NULL, NULL),"
    " (4, 2, 2, NULL, NULL, NULL, 1.00, -1e16, 'c', 'a'),"
    " (5, 3, 3, '2023-12-31', '2023-12-31 23:59:59', '2023-12-31 23:59:59+00', 2.50, -0.0, 'b', 'b'),"
    " (7, 9, 4, 'infinity', 'infinity', 'infinity', 7.00, 0.0, '7', '7'),"
    " (12345, 4, 1, '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00+00', 0.00, 3.5, '12345', 'c')",
    "CREATE INDEX orders_placed ON orders (placed)",
    "CREATE INDEX orders_since ON orders (since)",
)


@dataclass(frozen=True)
class Trap:
    """A query, and what makes it one."""

    what: str
    sql: str
    untouched: bool = False


_COUNT = "SELECT COUNT(*) AS n FROM orders"
_V = "(SELECT * FROM orders ORDER BY note, id) AS v"
TRAPS = (
    Trap("NOT IN with a NULL inside", "SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM orders)", True),
    Trap("NOT IN with a NULL outside", "SELECT id FROM orders WHERE customer NOT IN (SELECT id FROM items)", True),
    Trap("NOT IN of nothing", "SELECT id FROM orders WHERE customer NOT IN (SELECT id FROM nothing)", True),
    Trap("NOT IN over keys", "SELECT id FROM customers WHERE id NOT IN (SELECT item FROM orders)", True),
    Trap(
        "NOT IN that an outer join makes NULL",
        "SELECT id FROM customers WHERE id NOT IN"
        " (SELECT i.id FROM customers AS c LEFT JOIN items AS i ON i.id = c.area)",
        True,
    ),
    Trap("NOT IN of the subquery's own name", "SELECT id FROM customers WHERE id NOT IN (SELECT id FROM items)", True),
    Trap("IN over duplicates", "SELECT id FROM orders WHERE item IN (SELECT id FROM items)", True),
    Trap("IN with NULL", "SELECT id FROM orders WHERE customer IN (SELECT area FROM customers)", True),
    Trap("NOT of IN", "SELECT id FROM orders WHERE NOT (item IN (SELECT id FROM items WHERE title = 'x'))", True),
    Trap(
        "EXISTS over duplicates",
        "SELECT o.id FROM orders AS o WHERE EXISTS (SELECT 1 FROM items AS i WHERE i.id = o.item)",
        True,
    ),
    Trap(
        "the COUNT bug: those without rows count 0",
        "SELECT c.id, (SELECT COUNT(*) FROM orders AS o WHERE o.customer = c.id) AS n FROM customers AS c",
        True,
    ),
    Trap(
        "the COUNT bug in a condition",
        "SELECT c.id FROM customers AS c WHERE (SELECT COUNT(*) FROM orders AS o WHERE o.customer = c.id) = 0",
        True,
    ),
    Trap(
        "a sum of no rows is NULL",
        "SELECT c.id, (SELECT SUM(o.amount) FROM orders AS o WHERE o.customer = c.id) AS n FROM customers AS c",
        True,
    ),
    Trap(
        "a correlated count with another comparison",
        "SELECT c.id, (SELECT COUNT(*) FROM orders AS o WHERE o.customer < c.id) AS n FROM customers AS c",
        True,
    ),
    Trap("COUNT(DISTINCT) leaves out NULL", "SELECT COUNT(DISTINCT customer) AS n FROM orders", True),
    Trap(
        "COUNT(DISTINCT) beside another aggregate",
        "SELECT item, COUNT(DISTINCT customer) AS n, SUM(amount) AS s FROM orders GROUP BY item",
        True,
    ),
    Trap("COUNT(DISTINCT) of groups", "SELECT item, COUNT(DISTINCT customer) AS n FROM orders GROUP BY item", True),
    Trap("COUNT(DISTINCT) of an empty table", "SELECT COUNT(DISTINCT id) AS n FROM nothing", True),
    Trap(
        "OR across a join, both sides true",
        "SELECT o.id, c.id AS cid FROM orders AS o JOIN customers AS c ON c.id = o.customer"
        " WHERE o.note = 'b' OR c.area = 1",
        True,
    ),
    Trap(
        "OR across a join, one side NULL",
        "SELECT COUNT(*) AS n FROM orders AS o JOIN customers AS c ON c.id = o.customer"
        " WHERE o.amount > 1 OR c.name = 'b'",
        True,
    ),
    Trap(
        "OR across an outer join",
        "SELECT COUNT(*) AS n FROM orders AS o LEFT JOIN customers AS c ON c.id = o.customer"
        " WHERE o.amount > 2 OR c.area IS NULL",
        True,
    ),
    Trap(
        "a filter through a LIMIT",
        "SELECT COUNT(*) AS n FROM (SELECT * FROM orders ORDER BY id LIMIT 3) AS v WHERE v.item = 2",
        True,
    ),
    Trap(
        "a filter into a global aggregate",
        "SELECT n FROM (SELECT COUNT(*) AS n FROM orders) AS v WHERE n > 100",
        True,
    ),
    Trap(
        "a filter through a window",
        "SELECT id FROM (SELECT id, item, ROW_NUMBER() OVER (ORDER BY id) AS r FROM orders) AS v"
        " WHERE item = 2 AND r = 3",
        True,
    ),
    Trap(
        "a filter into a materialized CTE that is read twice",
        "WITH w AS MATERIALIZED (SELECT id, item FROM orders)"
        " SELECT COUNT(*) AS n FROM w JOIN w AS x ON x.item = w.item WHERE w.id = 1",
        True,
    ),
    Trap(
        "a filter into a materialized CTE",
        "WITH w AS MATERIALIZED (SELECT id, item, amount FROM orders) SELECT COUNT(*) AS n FROM w WHERE w.item = 2",
        True,
    ),
    Trap("HAVING on a key", "SELECT item, COUNT(*) AS n FROM orders GROUP BY item HAVING item > 1", True),
    Trap("HAVING without groups", "SELECT COUNT(*) AS n FROM orders HAVING COUNT(*) > 100", True),
    Trap(
        "NOT (x AND NOT x) is not TRUE where x is NULL",
        "SELECT id FROM orders WHERE NOT (customer > 1 AND NOT customer > 1)",
        True,
    ),
    Trap(
        "ORDER BY that LIMIT needs", "SELECT SUM(item) AS s FROM (SELECT * FROM orders ORDER BY id LIMIT 3) AS v", True
    ),
    Trap(
        "ORDER BY that DISTINCT ON needs",
        "SELECT SUM(item) AS s FROM (SELECT DISTINCT ON (note) * FROM orders ORDER BY note, id) AS v",
        True,
    ),
    Trap("ORDER BY that STRING_AGG needs", f"SELECT STRING_AGG(note, ',') AS s FROM {_V}", True),
    Trap("ORDER BY that ARRAY_AGG needs", f"SELECT ARRAY_AGG(id) AS s FROM {_V}", True),
    Trap("ORDER BY that the last digit of a sum needs", f"SELECT SUM(weight) AS s FROM {_V}", True),
    Trap("ORDER BY that row numbers need", f"SELECT id, ROW_NUMBER() OVER () AS r FROM {_V}", True),
    Trap("ORDER BY that people see", f"SELECT id, note FROM {_V}", True),
    Trap("ORDER BY that an outer LIMIT needs", f"SELECT COUNT(*) AS n FROM (SELECT * FROM {_V} LIMIT 2) AS x", True),
    Trap(
        "ORDER BY that groups of −0 and 0 need",
        f"SELECT weight, COUNT(*) AS n FROM {_V} GROUP BY weight ORDER BY 1",
        True,
    ),
    Trap("ORDER BY that nobody needs", f"SELECT item, COUNT(*) AS n FROM {_V} GROUP BY item ORDER BY item"),
    Trap("the year's last microsecond", f"{_COUNT} WHERE EXTRACT(YEAR FROM since) = 2024"),
    Trap("the year of a time with zone", f"{_COUNT} WHERE EXTRACT(YEAR FROM z) = 2024", True),
    Trap("the negated year of NULL", f"{_COUNT} WHERE NOT (EXTRACT(YEAR FROM placed) = 2024)", True),
    Trap("a month of every year", f"{_COUNT} WHERE EXTRACT(MONTH FROM placed) = 12", True),
    Trap("a truncated time that is none", f"{_COUNT} WHERE DATE_TRUNC('month', since) = '2024-02-29'", True),
    Trap("a week over the turn of the year", f"{_COUNT} WHERE DATE_TRUNC('week', since) = '2024-12-30'"),
    Trap("an integer that is written with a zero", f"{_COUNT} WHERE CAST(id AS TEXT) = '007'", True),
    Trap("an integer as text", f"{_COUNT} WHERE CAST(id AS TEXT) = '12345'"),
    Trap("a text that is cut", f"{_COUNT} WHERE CAST(note AS VARCHAR(3)) = '123'", True),
    Trap("a number as text", f"{_COUNT} WHERE CAST(amount AS TEXT) = '1'", True),
    Trap("an integer and a fraction", f"{_COUNT} WHERE id < 4.5", True),
    Trap("an integer and a whole decimal", f"{_COUNT} WHERE id IN (1.0, 7.0) AND item >= 1.0"),
    Trap("a LIMIT among ties", f"SELECT item, COUNT(*) AS n FROM {_V} GROUP BY item ORDER BY 2 DESC LIMIT 2"),
)
