"""What each rule makes of a statement, and what it says where it leaves one alone."""

from __future__ import annotations

import pytest

from superset_ext.plans.rewrite import ALL, AUTOMATIC, Rewriting, rewritten
from superset_ext.plans.rewrite.facts import Column, Kind, Relation
from superset_ext.sqltables.statement import LIMIT_BYTES


def by_name(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


SALES = Relation(
    "sales",
    by_name(
        Column("id", Kind.INTEGER, nullable=False, distinct=1e6, leads_index=True),
        Column("shop", Kind.INTEGER),
        Column("day", Kind.DATE, leads_index=True),
        Column("at", Kind.TIMESTAMP),
        Column("seen", Kind.TIMESTAMPTZ),
        Column("name", Kind.TEXT),
        Column("weight", Kind.FLOAT, identical=False),
        Column("price", Kind.DECIMAL),
    ),
    rows=1e6,
)
SHOPS = Relation("shops", by_name(Column("shop_id", Kind.INTEGER, nullable=False), Column("town", Kind.TEXT)), rows=9.0)


class Known:
    """A catalogue of these two."""

    engine = "postgres"

    def relation(self, schema: str | None, name: str) -> Relation | None:
        return {"sales": SALES, "shops": SHOPS}.get(name) if schema in (None, "public") else None


def ask(sql: str) -> Rewriting:
    return rewritten(sql, Known(), ALL)


CHANGED = {
    "unneeded_order": (
        "SELECT name, SUM(price) AS s FROM (SELECT * FROM sales ORDER BY day) AS v GROUP BY name ORDER BY name LIMIT 9",
        "SELECT name, SUM(price) AS s FROM (SELECT * FROM sales) AS v GROUP BY name ORDER BY name LIMIT 9",
    ),
    "extract_range": (
        "SELECT COUNT(*) FROM sales WHERE DATE_TRUNC('quarter', at) = '2024-10-01' AND EXTRACT(YEAR FROM day) = 2024",
        "SELECT COUNT(*) FROM sales WHERE at >= CAST('2024-10-01 00:00:00' AS TIMESTAMP) AND"
        " at < CAST('2025-01-01 00:00:00' AS TIMESTAMP) AND day >= CAST('2024-01-01' AS DATE) AND"
        " day < CAST('2025-01-01' AS DATE)",
    ),
    "integer_as_text": (
        "SELECT COUNT(*) FROM public.sales WHERE CAST(id AS TEXT) IN ('7', '-12')",
        "SELECT COUNT(*) FROM public.sales WHERE id IN (7, -12)",
    ),
    "moment_as_constant": (
        "SELECT COUNT(*) FROM sales WHERE at >= TO_TIMESTAMP('2024-02-29 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
        " AND (day < (TO_DATE('2024-03-01', 'YYYY-MM-DD')) OR id = 1)",
        "SELECT COUNT(*) FROM sales WHERE at >= CAST('2024-02-29 00:00:00.000000' AS TIMESTAMPTZ)"
        " AND (day < (CAST('2024-03-01' AS DATE)) OR id = 1)",
    ),
    "integer_as_decimal": ("SELECT id FROM sales WHERE (id >= -7.00)", "SELECT id FROM sales WHERE (id >= -7)"),
    "not_in": (
        "SELECT id FROM sales WHERE id NOT IN (SELECT shop_id FROM shops)",
        "SELECT id FROM sales WHERE NOT EXISTS(SELECT 1 FROM shops WHERE shop_id = sales.id)",
    ),
    "filter_into_cte": (
        "WITH w AS MATERIALIZED (SELECT id AS n FROM sales) SELECT COUNT(*) FROM w WHERE n = 3",
        "WITH w AS MATERIALIZED (SELECT id AS n FROM sales WHERE id = 3) SELECT COUNT(*) FROM w",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_a_rule_changes(name: str) -> None:
    """Intent: a rule gives the text that it promises, and says so, with what it should bring."""
    sql, expected = CHANGED[name]
    rewriting = ask(sql)
    assert rewriting.sql == expected and rewriting.applied == (name,)
    assert rewriting.verdicts[name].changed and rewriting.times > 1


REFUSED = [
    ("SELECT name, weight FROM (SELECT * FROM sales ORDER BY day) AS v", "unneeded_order", "shows rows one by one"),
    ("SELECT STRING_AGG(name, ',') FROM (SELECT * FROM sales ORDER BY day) AS v", "unneeded_order", "string_agg may"),
    ("SELECT MY_OWN(id) FROM (SELECT * FROM sales ORDER BY day) AS v", "unneeded_order", "my_own may depend"),
    ("SELECT SUM(weight) FROM (SELECT * FROM sales ORDER BY day) AS v", "unneeded_order", "floating point"),
    ("SELECT COUNT(*) FROM (SELECT * FROM sales ORDER BY day LIMIT 5) AS v", "unneeded_order", "LIMIT"),
    ("SELECT SUM(x) FROM (SELECT * FROM gone ORDER BY x) AS v", "unneeded_order", "unknown type"),
    (
        "SELECT name, COUNT(*) FROM (SELECT * FROM sales ORDER BY day) AS v GROUP BY name",
        "unneeded_order",
        "no ORDER BY",
    ),
    ("SELECT COUNT(*) FROM sales WHERE EXTRACT(YEAR FROM seen) = 2024", "extract_range", "time zone"),
    ("SELECT COUNT(*) FROM sales WHERE DATE_TRUNC('month', at) = '2024-02-03'", "extract_range", "first moment"),
    ("SELECT COUNT(*) FROM sales WHERE CAST(id AS TEXT) = '007'", "integer_as_text", "writes an integer"),
    ("SELECT COUNT(*) FROM sales WHERE CAST(id AS VARCHAR(2)) = '12'", "integer_as_text", "cut"),
    ("SELECT COUNT(*) FROM sales WHERE CAST(name AS TEXT) = '12'", "integer_as_text", "no integer column"),
    ("SELECT COUNT(*) FROM sales WHERE day > TO_DATE('2024-02-30', 'YYYY-MM-DD')", "moment_as_constant", "no text"),
    ("SELECT COUNT(*) FROM sales WHERE day > TO_DATE('24-02-20', 'YY-MM-DD')", "moment_as_constant", "another one"),
    ("SELECT COUNT(*) FROM sales WHERE day > TO_DATE(name, 'YYYY-MM-DD')", "moment_as_constant", "no text"),
    ("SELECT TO_DATE('2024-02-20', 'YYYY-MM-DD') FROM sales", "moment_as_constant", "nothing is compared"),
    ("SELECT COUNT(*) FROM sales WHERE id = 12.5", "integer_as_decimal", "fraction"),
    ("SELECT COUNT(*) FROM sales WHERE price = 12.0", "integer_as_decimal", "no integer column"),
    ("SELECT id FROM sales WHERE id NOT IN (SELECT shop FROM sales AS s)", "not_in", "shop of NOT IN can be NULL"),
    ("SELECT COUNT(DISTINCT id), SUM(price) FROM sales", "count_distinct", "other aggregates"),
    ("SELECT shop, COUNT(*) FROM sales GROUP BY shop HAVING shop > 1", "having_on_keys", "gains nothing"),
    ("SELECT id FROM sales WHERE shop IN (SELECT shop_id FROM shops)", "semi_join", "semi-join"),
    ("SELECT id FROM sales WHERE shop IN (SELECT DISTINCT shop_id FROM shops)", "unneeded_distinct", "costs nothing"),
    ("SELECT COUNT(*) FROM (SELECT * FROM sales) AS v", "columns_for_star", "gains nothing"),
    ("SELECT COUNT(*) FROM sales WHERE id = 1 OR shop = 2", "or_of_one_table", "gains nothing"),
    ("SELECT COUNT(*) FROM (SELECT id FROM sales LIMIT 5) AS v WHERE id = 1", "pushed_filter", "cannot move"),
    ("SELECT COUNT(*) FROM sales", "row_limit", "another question"),
]


@pytest.mark.parametrize(("sql", "name", "words"), REFUSED)
def test_why_a_rule_does_not_apply(sql: str, name: str, words: str) -> None:
    """Intent: every "no" carries its reason, and the text stays the very one that was given."""
    rewriting = ask(sql)
    assert not rewriting.verdicts[name].changed and words in "; ".join(rewriting.verdicts[name].refused)
    assert rewriting.sql == sql and not rewriting.applied


def test_every_rule_says_something_of_every_statement() -> None:
    """Intent: nobody has to guess whether a rule was asked."""
    for sql, _, _ in REFUSED:
        assert all(verdict.changed or verdict.refused for verdict in ask(sql).verdicts.values())


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM sales", "SELECT 1; SELECT 2", "SELECT id INTO x FROM sales", "SELECT id FROM sales FOR UPDATE",
        "WITH x AS (DELETE FROM sales RETURNING id) SELECT COUNT(*) FROM x", "EXPLAIN SELECT 1", "SELEC 1", "",
        "SELECT '" + "x" * LIMIT_BYTES + "'", "COPY sales TO PROGRAM 'cat'", "SET x = 1",
    ],
)  # fmt: skip
def test_what_is_no_select_is_left_alone(sql: str) -> None:
    """Intent: what writes, locks, or is more than one statement is never rewritten, and the reason is given."""
    rewriting = ask(sql)
    assert rewriting.reason and rewriting.sql == sql and not rewriting.applied


def test_ties_at_a_limit_are_told() -> None:
    """Intent: an answer that a LIMIT may have cut among ties is only taken when it was not cut."""
    of_ties, total = (
        f"SELECT name, COUNT(*) AS n FROM (SELECT * FROM sales ORDER BY day) AS v GROUP BY name ORDER BY {by} LIMIT 9"
        for by in ("n DESC", "n DESC, name")
    )
    assert ask(of_ties).below == 9 and ask(total).below is None and ask(of_ties).applied == ask(total).applied


def test_names_mean_what_the_source_takes_them_for() -> None:
    """Intent: a CTE hides the table of its name, and a quoted name is another one than the same in capitals."""
    hidden = "WITH sales AS (SELECT name AS id FROM shops) SELECT COUNT(*) FROM sales WHERE id = 3.0"
    assert not ask(hidden).applied
    assert not ask('SELECT COUNT(*) FROM "Sales" WHERE id = 3.0').applied
    assert not ask('SELECT COUNT(*) FROM sales WHERE "ID" = 3.0').applied
    assert ask("SELECT COUNT(*) FROM Sales WHERE ID = 3.0").applied == ("integer_as_decimal",)
    assert not ask("SELECT COUNT(*) FROM sales AS a, sales AS b WHERE id = 3.0").applied


def test_the_automatic_rules_are_the_first() -> None:
    """Intent: what people are shown begins with what may run by itself."""
    assert ALL[: len(AUTOMATIC)] == AUTOMATIC and len(set(ALL)) == len(ALL)
