"""Which statements no aggregate answers, each with its reason in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.refusals import REFUSALS, refusal
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregate_sales import answer, view_for

VIEW = view_for(
    "SELECT shop, town, amount, weight, seen, day, DATE_TRUNC('day', at) AS d, COUNT(*) AS n, SUM(price) AS s,"
    " SUM(weight) AS w FROM sales GROUP BY 1, 2, 3, 4, 5, 6, 7"
)
FORMS = {
    "not_one_select": ("SELECT shop FROM sales UNION SELECT shop FROM sales", "not one SELECT"),
    "common_tables": ("WITH x AS (SELECT 1) SELECT COUNT(*) AS n FROM sales", "begins with WITH"),
    "several_sources": ("SELECT COUNT(*) AS n FROM sales AS a CROSS JOIN sales AS b", "it joins"),
    "sampled": ("SELECT COUNT(*) AS n FROM sales TABLESAMPLE SYSTEM (10)", "reads a sample"),
    "windows": ("SELECT shop, SUM(COUNT(*)) OVER () AS n FROM sales GROUP BY shop", "window"),
    "first_of_each": ("SELECT DISTINCT ON (shop) shop FROM sales", "DISTINCT ON"),
    "grouping_sets": ("SELECT shop, COUNT(*) AS n FROM sales GROUP BY ROLLUP (shop)", "grouping sets"),
    "inner_queries": ("SELECT COUNT(*) AS n FROM sales WHERE shop IN (SELECT shop FROM sales)", "subquery"),
    "ordered_aggregates": (
        "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY price) AS m FROM sales", "needs all values in order",
    ),
    "filtered_aggregates": ("SELECT COUNT(*) FILTER (WHERE paid) AS n FROM sales", "FILTER"),
    "unknown_functions": ("SELECT COUNT(*) AS n FROM sales WHERE day < CURRENT_DATE", "another value each time"),
    "odd_syntax": ("SELECT COUNT(DISTINCT (shop, paid)) AS n FROM sales", "it has TUPLE, which is not known"),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSALS, ids=lambda rule: rule.__name__)
def test_each_form_that_is_refused(rule: object) -> None:
    """Intent: each rule is the one that names its reason, in words that a person understands."""
    sql, words = FORMS[rule.__name__]  # type: ignore[attr-defined]
    tree = parsed(sql, "postgres")
    assert not isinstance(tree, str) and words in refusal(tree) and rule(tree) == refusal(tree)  # type: ignore[operator]


_SERIES = "SELECT COUNT(*) AS n FROM sales JOIN (SELECT shop AS s, day AS d, COUNT(*) AS m FROM sales GROUP BY shop"
REFUSED = [
    ("SELECT STDDEV(price) AS s FROM sales", "STDDEV cannot be added up"),
    ("SELECT STRING_AGG(shop, ',' ORDER BY shop) AS s FROM sales", "cannot be added up"),
    ("SELECT MY_OWN(shop) AS s, COUNT(*) AS n FROM sales GROUP BY 1", "function"),
    ("SELECT RANDOM() AS r, COUNT(*) AS n FROM sales GROUP BY 1", "function"),
    ("SELECT COUNT(*) AS n FROM sales WHERE EXISTS (SELECT 1)", "subquery"),
    ("SELECT shop FROM sales", "not grouped"),
    ("SELECT * FROM sales", "all columns"),
    ("SELECT price, COUNT(*) AS n FROM sales GROUP BY 1", "'price' is not kept"),
    ("SELECT DATE_TRUNC('hour', at) AS h, COUNT(*) AS n FROM sales GROUP BY 1", "'at' is not kept but by day"),
    ("SELECT COUNT(*) AS n FROM sales WHERE at >= '2024-01-01 10:00:00'", "'at' is not kept but by day"),
    ("SELECT COUNT(*) AS n FROM sales WHERE at > '2024-01-01'", "'at' is not kept but by day"),
    ("SELECT COUNT(*) AS n FROM sales WHERE at <= '2024-01-01'", "'at' is not kept but by day"),
    ("SELECT EXTRACT(EPOCH FROM at) AS e, COUNT(*) AS n FROM sales GROUP BY 1", "'at' is not kept but by day"),
    ("SELECT COUNT(DISTINCT price) AS d FROM sales", "all different values, and the column 'price' is not kept"),
    ("SELECT COUNT(DISTINCT shop, paid) AS d FROM sales", "does not print this statement"),
    ("SELECT MAX(price) AS m FROM sales", "'price' is not kept"),
    ("SELECT SUM(size) AS s FROM sales", "no measure"),
    ("SELECT SUM(price * 2) AS s FROM sales", "no measure"),
    ("SELECT SUM(weight) AS s FROM sales", "last digits"),
    ("SELECT town, COUNT(*) AS n FROM sales GROUP BY 1", "shows 'town'"),
    ("SELECT LOWER(town) AS l, COUNT(*) AS n FROM sales GROUP BY 1", "looks into 'town'"),
    ("SELECT CAST(amount AS TEXT) AS l, COUNT(*) AS n FROM sales GROUP BY 1", "looks into 'amount'"),
    ("SELECT COUNT(*) AS n FROM sales WHERE weight * 2 > 1", "looks into 'weight'"),
    ("SELECT COUNT(DISTINCT amount) AS n FROM sales", "shows 'amount'"),
    ("SELECT MIN(town) AS m FROM sales", "shows 'town'"),
    ("SELECT shop, SUM(weight) AS n FROM sales GROUP BY 1 ORDER BY 2 LIMIT 10", "rows that may tie"),
    ("SELECT shop, COUNT(*) AS n FROM sales GROUP BY 1 ORDER BY 2 OFFSET 1", "rows that may tie"),
    (f"{_SERIES}, day ORDER BY m DESC LIMIT 2) AS f ON shop = s", "no series limit"),
    (f"{_SERIES}, day ORDER BY m DESC LIMIT 2) AS f ON shop = s AND shop = d", "no series limit"),
    (f"{_SERIES}, day ORDER BY m DESC LIMIT 2) AS f ON shop = s OR day = d", "joins"),
    (f"{_SERIES}, day ORDER BY m DESC) AS f ON shop = s AND day = d", "joins"),
    (f"{_SERIES}, day ORDER BY m DESC LIMIT 2 OFFSET 1) AS f ON shop = s AND day = d", "joins"),
    (f"{_SERIES}, day HAVING COUNT(*) > 1 ORDER BY m DESC LIMIT 2) AS f ON shop = s AND day = d", "no series limit"),
    (f"{_SERIES.replace('JOIN', 'LEFT JOIN')}, day ORDER BY m LIMIT 2) AS f ON shop = s AND day = d", "joins"),
    (f"{_SERIES}, day ORDER BY SUM(weight) LIMIT 2) AS f ON shop = s AND day = d", "floating point"),
    ("SELECT COUNT(*) AS n FROM elsewhere", "catalogue does not name"),
    ("SELECT COUNT(*) AS n FROM public.sales", "another relation"),
    ("SELECT COUNT(*) AS n FROM GENERATE_SERIES(1, 2)", "a function's rows"),
    ("SELECT COUNT(*) AS n FROM (SELECT * FROM sales ORDER BY day LIMIT 5) AS v", "not settled"),
    ("SELECT COUNT(*) AS n FROM (SELECT * FROM sales WHERE day < CURRENT_DATE) AS v", "or on the time"),
    ("SELECT COUNT(*) AS n FROM (SELECT * FROM sales WHERE seen > '2024-01-01') AS v", "depend on the session"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "words"), REFUSED)
def test_what_is_refused_says_why(sql: str, words: str) -> None:
    """Intent: what cannot be proven equal goes to the table itself, and the reason is one that names the cause."""
    text = answer(sql, VIEW)
    assert text.startswith("!") and words in text


@pytest.mark.parametrize(
    "sql", ["SELECT town, COUNT(*) AS n FROM sales GROUP BY 1", "SELECT SUM(weight) AS s FROM sales"]
)
def test_a_setting_may_allow_what_is_equal_by_value(sql: str) -> None:
    """Intent: 1.0 for 1.00, and a float's last digit, are refused by default and can be allowed."""
    assert answer(sql, VIEW).startswith("!")
    assert not answer(sql, VIEW, Allowed(floats=True, loose=True)).startswith("!")


@pytest.mark.parametrize("condition", ["town = 'a'", "amount > 1", "weight IN (1, 2)", "amount IS NULL"])
def test_a_comparison_holds_for_all_that_are_equal(condition: str) -> None:
    """Intent: equal values that look different compare alike, so that a filter of them is exact."""
    assert not answer(f"SELECT COUNT(*) AS n FROM sales WHERE {condition}", VIEW).startswith("!")


def test_zones_cut_days_elsewhere() -> None:
    """Intent: a moment with time zone is kept itself or not at all; its day is never the aggregate's."""
    view = view_for("SELECT CAST(seen AS DATE) AS d, COUNT(*) AS n FROM sales GROUP BY 1")
    assert [key.unit for key in view.keys] == [None]
    assert not answer("SELECT DATE_TRUNC('day', seen) AS d, COUNT(*) AS n FROM sales GROUP BY 1", view).startswith("!")
    month = view_for("SELECT DATE_TRUNC('month', at) AS d, COUNT(*) AS n FROM sales GROUP BY 1")
    limit = "SELECT COUNT(*) AS n FROM sales WHERE at < TO_TIMESTAMP('2024-01-01 00:00:00', 'YYYY-MM-DD HH24:MI:SS')"
    assert answer(limit, month, Allowed(zone="America/New_York")).startswith("!")
    assert not answer(limit, month, Allowed(zone="UTC")).startswith("!")


PARTS = [
    "EXTRACT(YEAR FROM at)", "YEAR(at)", "EXTRACT(QUARTER FROM CAST(at AS DATE))", "EXTRACT(MONTH FROM day)",
    "EXTRACT(EPOCH FROM seen)", "CASE WHEN MONTH(at) = 1 THEN 1 ELSE 2 END",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_an_infinite_time_is_not_settled_on_duckdb(part: str) -> None:
    """Intent: DuckDB answers it as the plan has it, so that only what is known to be finite is asked for its parts."""
    sql = f"SELECT {part} AS p, COUNT(*) AS n FROM sales GROUP BY 1"
    view = view_for(sql, engine="duckdb")
    assert "may be infinite" in answer(sql, view)
    finite = replace(view, finite=frozenset({"at", "day", "seen"}))
    assert not answer(sql, finite).startswith("!")
    column = next(name for name in ("at", "day", "seen") if name in part.replace("CASE", ""))
    whole = view_for(sql, f"SELECT {column}, COUNT(*) AS n FROM sales GROUP BY 1", engine="duckdb")
    bounds = {
        "": True,
        f"WHERE {column} >= '2024-01-01'": True,
        f"WHERE {column} < 'infinity' AND {column} > '2024-01-01'": True,
        f"WHERE {column} >= '2024-01-01' AND {column} < '2025-01-01'": False,
        f"WHERE {column} BETWEEN '2024-01-01' AND '2024-12-31'": False,
        f"WHERE {column} >= '2024-01-01' OR {column} < '2025-01-01'": True,
    }  # fmt: skip
    for where, is_refused in bounds.items():
        text = answer(f"SELECT {part} AS p, COUNT(*) AS n FROM sales {where} GROUP BY 1", whole)
        assert text.startswith("!") == is_refused, (where, text)
    dataset = f"SELECT COUNT(*) AS n FROM (SELECT {part} AS p FROM sales) AS v"
    assert answer(dataset, view).startswith("!")


def test_an_infinite_time_is_not_cut_again_on_duckdb() -> None:
    """Intent: some plans of DuckDB end with an error there, so that a grain is only given as it is kept."""
    day, month = (
        f"SELECT DATE_TRUNC('{unit}', at) AS u, COUNT(*) AS n FROM sales GROUP BY 1" for unit in ("day", "month")
    )
    view = view_for(day, engine="duckdb")
    assert not answer(day, view).startswith("!") and "it cuts 'at', which may be infinite" in answer(month, view)
    assert not answer(month, replace(view, finite=frozenset({"at"}))).startswith("!")
    assert not answer(month, view_for(day)).startswith("!")
