"""Each finding on a plan of a real PostgreSQL that has it, and none on one that nearly has it."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from superset_ext.plans.asked import Asked
from superset_ext.plans.case import Before, Case
from superset_ext.plans.findings import RULES
from superset_ext.plans.findings.plan_changed import plan_changed
from superset_ext.plans.tree import plan_of
from testing.databases import Databases
from testing.plans import fill, kinds, reasons, reviewed


@pytest.fixture(scope="module")
def source(databases: Databases) -> Iterator[str]:
    with databases.empty() as url:
        fill(url)
        yield url


@dataclass(frozen=True)
class Pair:
    """A query whose plan has something, and one whose plan nearly has it.

    Attributes:
        why: a part of the reason that the rule gives for the second one; empty where it does not consider it.
    """

    kind: str
    has: str
    nearly: str
    why: str = ""
    analyze: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    else_settings: dict[str, Any] | None = None
    asked: Asked | None = None
    else_asked: Asked | None = None


SLOW_JIT = {
    "jit": "on", "jit_above_cost": 0, "jit_optimize_above_cost": 0, "jit_inline_above_cost": 0,
}  # fmt: skip
SORTED = "SELECT sum(length(note)) FROM (SELECT note, city FROM orders ORDER BY note {}) AS virtual_table"
CTE = "WITH big AS MATERIALIZED (SELECT id, customer FROM orders) SELECT id FROM big WHERE {}"
MADE = ("SELECT {} FROM (SELECT c.name, o.customer, sum(o.amount) AS total FROM orders AS o JOIN customers AS c"
        " ON c.id = o.customer GROUP BY c.name, o.customer) AS virtual_table")  # fmt: skip
MOMENT = "TO_TIMESTAMP('2024-02-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
PAIRS = (
    Pair("filter_discards", "SELECT count(*) FROM orders WHERE amount = 7", "SELECT count(*) FROM orders WHERE amount > 7",
         "about what the scan does"),
    Pair("filter_discards", "SELECT count(*) FROM orders WHERE status = 'rare' AND amount > 10",
         "SELECT count(*) FROM few WHERE amount = 7"),
    # Some fifty rows are on a page: of six in a hundred nearly each page has one.
    Pair("filter_discards", "SELECT count(note) FROM orders WHERE amount BETWEEN 100 AND 104",
         "SELECT count(note) FROM orders WHERE amount BETWEEN 100 AND 160", "about what the scan does"),
    # What no index of plain columns has is left to be thrown away: it leads to three times as many rows.
    Pair("filter_discards", "SELECT count(note) FROM orders WHERE amount BETWEEN 100 AND 102 AND customer < id",
         "SELECT count(note) FROM orders WHERE amount BETWEEN 100 AND 111 AND customer < id", "about what the scan does"),
    Pair("function_on_column", "SELECT count(*) FROM orders WHERE date_trunc('month', placed) = '2024-02-01'",
         "SELECT count(*) FROM orders WHERE lower(note) = 'x'", "no index begins with note"),
    Pair("function_on_column", "SELECT count(*) FROM orders WHERE customer::text = '17'",
         "SELECT count(*) FROM orders WHERE status = 'rare'"),
    Pair("or_over_columns", "SELECT id FROM orders WHERE amount = 7 OR city = 'city 3'",
         "SELECT id FROM orders WHERE amount > 7 OR city = 'city 3'", "read as fast by a scan"),
    Pair("or_over_columns",
         "SELECT count(*) FROM few AS a JOIN few AS b ON a.customer = b.amount OR a.amount = b.customer",
         "SELECT count(*) FROM few AS a JOIN few AS b ON a.customer = b.amount"),
    Pair("or_over_columns",
         "SELECT count(*) FROM few AS a JOIN few AS b ON a.customer = b.amount OR a.amount = b.customer",
         "SELECT count(*) FROM orders AS a JOIN few AS b ON a.customer = b.customer AND (a.amount < 50 OR b.amount < 50)"),
    Pair("moment_per_row", f"SELECT count(note) FROM orders WHERE placed >= {MOMENT}",
         f"SELECT count(*) FROM few WHERE placed >= {MOMENT}", "there are few"),
    Pair("moment_per_row", f"SELECT count(note) FROM orders WHERE placed > {MOMENT}",
         f"SELECT count(note) FROM orders WHERE placed < {MOMENT}"),  # few, which an index leads to
    Pair("leading_wildcard", "SELECT id FROM orders WHERE note LIKE '%abc%'", "SELECT id FROM orders WHERE note LIKE 'abc%'",
         "does not begin with a wildcard"),
    Pair("leading_wildcard", "SELECT id FROM orders WHERE note LIKE '%abc%'",
         "SELECT id FROM orders WHERE note NOT LIKE '%abc%'"),
    Pair("filter_after_index", "SELECT count(note) FROM orders WHERE customer < 400 AND amount = 7",
         "SELECT count(note) FROM orders WHERE customer < 4 AND amount = 3", "few enough", analyze=True),
    Pair("nested_loop", "SELECT count(*) FROM orders AS o JOIN few AS f ON o.amount < f.amount",
         "SELECT count(*) FROM orders AS o JOIN few AS f ON o.amount = f.amount"),
    Pair("nested_loop", "SELECT count(*) FROM orders AS o JOIN few AS f ON o.amount < f.amount",
         "SELECT count(*) FROM orders AS o JOIN few AS f ON o.customer = f.amount OR o.amount = f.customer",
         "the OR in its condition"),
    Pair("correlated_subquery", "SELECT id, (SELECT count(*) FROM orders AS o WHERE o.customer = c.id) FROM customers AS c",
         "SELECT id, (SELECT count(*) FROM orders AS o WHERE o.customer = c.id) FROM customers AS c WHERE c.id < 10",
         "not often"),
    Pair("not_in_nullable", "SELECT count(*) FROM orders WHERE customer NOT IN (SELECT referrer FROM customers)",
         "SELECT count(*) FROM orders WHERE customer NOT IN (SELECT referrer FROM customers WHERE referrer IS NOT NULL)",
         "no NULL"),
    Pair("not_in_nullable", "SELECT count(*) FROM orders WHERE NOT customer IN (SELECT referrer FROM customers)",
         "SELECT count(*) FROM orders WHERE customer NOT IN (SELECT id FROM customers)", "no NULL"),
    Pair("unneeded_order", SORTED.format(""), SORTED.format("LIMIT 1000"), "chooses its rows"),
    Pair("unneeded_order", SORTED.format(""),
         "SELECT string_agg(note, ',') FROM (SELECT note FROM orders ORDER BY note) AS virtual_table", "depend on the order"),
    Pair("unneeded_distinct", "SELECT city, max(note) FROM (SELECT DISTINCT city, note FROM orders) AS virtual_table GROUP BY city",
         "SELECT city, count(note) FROM (SELECT DISTINCT city, note FROM orders) AS virtual_table GROUP BY city", "counts, adds up"),
    Pair("unneeded_distinct", "SELECT count(*) FROM (SELECT DISTINCT id, note FROM orders) AS virtual_table",
         "SELECT count(*) FROM (SELECT DISTINCT customer, note FROM orders) AS virtual_table", "counts, adds up"),
    Pair("unneeded_distinct", "WITH v AS (SELECT DISTINCT note, count(*) AS n FROM orders GROUP BY note) SELECT sum(n) FROM v",
         "WITH v AS (SELECT DISTINCT count(*) AS n FROM orders GROUP BY note) SELECT sum(n) FROM v", "counts, adds up"),
    Pair("unneeded_distinct", "SELECT DISTINCT city FROM (SELECT DISTINCT city, note FROM orders) AS virtual_table",
         "SELECT DISTINCT city FROM (SELECT DISTINCT city, note FROM orders LIMIT 10) AS virtual_table", "chooses rows"),
    Pair("shared_subquery", MADE.format("count(*)"), "SELECT count(*) FROM (SELECT id, note FROM orders WHERE amount > 7) AS virtual_table",
         "no time", asked=Asked(charts=5, seconds=60.0)),
    Pair("shared_subquery", MADE.format("count(*)"), MADE.format("count(*)"), "2 charts ask it", asked=Asked(charts=5, seconds=60.0),
         else_asked=Asked(charts=2, seconds=60.0)),
    Pair("shared_subquery", MADE.format("customer, count(*)") + " GROUP BY customer",
         "SELECT a.n FROM (SELECT region, count(*) AS n FROM few GROUP BY region) AS a, orders AS o",
         asked=Asked(charts=5, seconds=60.0)),
    Pair("other_filters", "SELECT count(*) FROM orders WHERE amount = 7", "SELECT count(*) FROM orders WHERE amount = 7", "too few",
         asked=Asked(charts=5, alike=4, alike_charts=4, alike_seconds=9.0), else_asked=Asked(charts=5, alike=2, alike_charts=2)),
    Pair("other_filters", "SELECT count(*) FROM orders WHERE amount = 7", "SELECT count(*) FROM orders WHERE amount = 7",
         asked=Asked(charts=5, alike=4, alike_charts=4, alike_seconds=9.0), else_asked=Asked(charts=5, alike=1, alike_charts=5)),
    Pair("barrier", CTE.format("customer = 7"), CTE.format("customer < 4000"), "most are needed"),
    Pair("barrier", "SELECT n FROM numbers(50000) WHERE n = 3", "SELECT n FROM numbers(50000) WHERE n > 3", "most are needed",
         analyze=True),
    Pair("large_offset", "SELECT id FROM orders ORDER BY id OFFSET 90000 LIMIT 10",
         "SELECT id FROM orders ORDER BY id OFFSET 2000 LIMIT 10", "few enough"),
    Pair("large_offset", "SELECT id FROM orders ORDER BY id OFFSET 90000 LIMIT 10", "SELECT id FROM orders ORDER BY id LIMIT 10",
         analyze=True),
    Pair("count_distinct", "SELECT count(DISTINCT note) FROM orders", "SELECT count(DISTINCT note) FROM few"),
    Pair("partitions_not_pruned", "SELECT count(*) FROM parts WHERE extract(month FROM day) = 2",
         "SELECT count(*) FROM parts WHERE day >= '2024-02-01' AND day < '2024-03-01'", "left out"),
    Pair("spilled", "SELECT note FROM orders ORDER BY note", "SELECT note FROM orders ORDER BY note", "in memory",
         analyze=True, settings={"work_mem": "1MB"}, else_settings={"work_mem": "64MB"}),
    Pair("spilled", "SELECT note, count(*) FROM orders GROUP BY note", "SELECT region, count(*) FROM orders GROUP BY region",
         analyze=True, settings={"work_mem": "1MB", "enable_sort": "off"}),
    Pair("spilled", "SELECT count(*) FROM orders AS a JOIN orders AS b ON a.note = b.note",
         "SELECT count(*) FROM orders AS a JOIN few AS b ON a.note = b.note", analyze=True,
         settings={"work_mem": "1MB", "enable_mergejoin": "off"}),
    Pair("lossy_bitmap", "SELECT count(note) FROM orders WHERE customer < 4500", "SELECT count(note) FROM orders WHERE customer < 4500",
         analyze=True, settings={"work_mem": "64kB", "enable_seqscan": "off", "enable_indexscan": "off"},
         else_settings={"work_mem": "64MB", "enable_seqscan": "off", "enable_indexscan": "off"}),
    Pair("heap_fetches", "SELECT count(*) FROM visited WHERE id < 15000", "SELECT count(*) FROM orders WHERE id < 15000",
         "few enough", analyze=True, settings={"enable_seqscan": "off", "enable_bitmapscan": "off"}),
    Pair("rows_misjudged", "SELECT count(*) FROM loaded WHERE kind = 7", "SELECT count(*) FROM orders WHERE region = 'region 7'",
         analyze=True),
    Pair("rows_misjudged", "SELECT count(*) FROM loaded WHERE kind = 7",
         "SELECT count(*) FROM orders WHERE region = 'region 7' AND city = 'city 7'", "see extended_statistics", analyze=True),
    Pair("extended_statistics", "SELECT count(*) FROM orders WHERE region = 'region 7' AND city = 'city 7'",
         "SELECT count(*) FROM orders WHERE region = 'region 7' AND amount > 5", analyze=True),
    Pair("extended_statistics", "SELECT count(*) FROM orders WHERE region = 'region 7' AND city = 'city 7'",
         "SELECT count(*) FROM together WHERE region = 'region 7' AND city = 'city 7'", analyze=True),
    Pair("extended_statistics", "SELECT count(*) FROM orders WHERE region = 'region 7' AND city = 'city 7'",
         "SELECT count(*) FROM unread WHERE region = 'region 7' AND city = 'city 7'", "not yet analyzed", analyze=True),
    Pair("extended_statistics", "SELECT count(*) FROM orders WHERE left(city, 6) = 'city 7'",
         "SELECT count(*) FROM together WHERE left(city, 6) = 'city 7'", analyze=True),
    Pair("extended_statistics", "SELECT region, city, status FROM orders GROUP BY region, city, status",
         "SELECT region FROM orders GROUP BY region", analyze=True),
    Pair("statistics_old", "SELECT count(*) FROM loaded", "SELECT count(*) FROM few"),
    Pair("statistics_old", "SELECT count(*) FROM grown", "SELECT count(*) FROM customers"),
    Pair("statistics_old", "SELECT count(*) FROM grown", "SELECT count(*) FROM at_once"),
    Pair("workers_not_launched", "SELECT count(*) FROM orders", "SELECT count(*) FROM orders", analyze=True,
         settings={"max_parallel_workers_per_gather": 2, "max_parallel_workers": 0, "parallel_setup_cost": 0,
                   "parallel_tuple_cost": 0, "min_parallel_table_scan_size": 0},
         else_settings={"max_parallel_workers_per_gather": 0}),
    Pair("select_star", "SELECT * FROM wide", "SELECT * FROM wide WHERE id = 7", "not much"),
    Pair("select_star", "SELECT * FROM wide", "SELECT count(c1) FROM (SELECT * FROM wide) AS virtual_table",
         "columns that are used"),
)  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.kind}-{PAIRS.index(pair)}")
def test_a_plan_that_has_it_and_one_that_nearly_has_it(source: str, pair: Pair) -> None:
    """Intent: a rule speaks where it should, and is silent, with its reason, where a person would not follow it."""
    review = reviewed(source, pair.has, pair.analyze, asked=pair.asked, **pair.settings)
    assert pair.kind in kinds(review), review.text()
    other = pair.settings if pair.else_settings is None else pair.else_settings
    nearly = reviewed(source, pair.nearly, pair.analyze, asked=pair.else_asked or pair.asked, **other)
    assert pair.kind not in kinds(nearly), nearly.text()
    assert not pair.why or any(pair.why in reason for reason in reasons(nearly, pair.kind)), nearly.text()


def test_no_index_is_wanted_of_what_is_computed(source: str) -> None:
    """Intent: an index is advised where the inner side of a nested loop is a table, and not where it is a subquery."""
    table = "SELECT count(*) FROM orders AS o JOIN few AS f ON o.amount < f.amount"
    computed = table.replace("few AS f", "(SELECT amount FROM few ORDER BY id LIMIT 400) AS f")
    advice = [reviewed(source, sql).verdicts.findings[0].advice for sql in (table, computed)]
    assert "no index for the join" in advice[0] and "is computed" in advice[1]


_FIRST, _SECOND = "a.id = b.id * 2", "a.id = b.id * 3"  # some have both, and some have none
_ROWS = "SELECT a.id FROM few AS a {}"
ORS = (
    (
        f"JOIN few AS b ON {_FIRST} OR {_SECOND}",
        "UNION ALL",
        f"JOIN few AS b ON {_FIRST} UNION ALL SELECT a.id FROM few AS a JOIN few AS b ON {_SECOND} AND ({_FIRST}) IS NOT TRUE",
    ),
    (
        f"WHERE EXISTS (SELECT FROM few AS b WHERE {_FIRST} OR {_SECOND})",
        "EXISTS (… first condition) OR EXISTS",
        f"WHERE EXISTS (SELECT FROM few AS b WHERE {_FIRST}) OR EXISTS (SELECT FROM few AS b WHERE {_SECOND})",
    ),
    (
        f"WHERE NOT EXISTS (SELECT FROM few AS b WHERE {_FIRST} OR {_SECOND})",
        "AND NOT EXISTS",
        f"WHERE NOT EXISTS (SELECT FROM few AS b WHERE {_FIRST}) AND NOT EXISTS (SELECT FROM few AS b WHERE {_SECOND})",
    ),
)


@pytest.mark.parametrize(("asked", "advice", "instead"), ORS)
def test_what_is_advised_for_an_or_gives_the_same_rows(source: str, asked: str, advice: str, instead: str) -> None:
    """Intent: a union of two joins has the rows of an inner one alone; what others get has theirs, and tries no pairs."""
    review, after = (reviewed(source, _ROWS.format(text)) for text in (asked, instead))
    (finding,) = [one for one in review.verdicts.findings if one.kind == "or_over_columns"]
    assert advice in finding.advice
    assert "or_over_columns" not in kinds(after)
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        before, then = (_sorted(cursor, _ROWS.format(text)) for text in (asked, instead))
    assert before == then != []


def _sorted(cursor: Any, sql: str) -> list[Any]:
    cursor.execute(sql)
    return sorted(cursor.fetchall())


def test_no_two_outer_joins_are_advised(source: str) -> None:
    """Intent: whatever has no partner under one condition would come out once more."""
    review = reviewed(source, _ROWS.format(f"LEFT JOIN few AS b ON {_FIRST} OR {_SECOND}"))
    assert "or_over_columns" not in kinds(review)
    assert any("outer" in reason for reason in reasons(review, "or_over_columns")), review.text()


STEPS = (
    ("filter_discards", 'SELECT * FROM "Order" WHERE "group" = 7 AND "Place" < 500'),
    ("leading_wildcard", """SELECT "Place" FROM "Order" WHERE "Two Words" LIKE '%abc%'"""),
    ("extended_statistics", 'SELECT "Two Words" FROM "Order" WHERE twin = 7 AND "Shelf" = 7'),
    ("statistics_old", 'SELECT count(*) FROM "Order Lines"'),
    ("rows_misjudged", 'SELECT count(*) FROM "Order Notes" WHERE "group" = 77'),
)
_MODULE, _TRIGRAMS = "CREATE EXTENSION", " gin_trgm_ops"


@pytest.mark.parametrize(("kind", "sql"), STEPS)
def test_what_comes_next_can_be_run(source: str, kind: str, sql: str) -> None:
    """Intent: names that need quotes have them in the statements that a finding says to run."""
    review = reviewed(source, sql, analyze=kind in ("extended_statistics", "rows_misjudged"))
    (step,) = [finding.next_step for finding in review.verdicts.findings if finding.kind == kind]
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in step.split("; "):
            if not statement.startswith(_MODULE):  # which the server of the tests lacks
                cursor.execute(statement.replace("USING gin", "").replace(_TRIGRAMS, ""))
            cursor.execute('DROP INDEX IF EXISTS "Order_group_Place_idx"')
    assert '"Order' in step


def test_every_rule_has_a_pair() -> None:
    """Intent: nobody adds a rule without a plan that has it and one that nearly has it."""
    elsewhere = {"plan_changed", "jit_costs"}
    assert {pair.kind for pair in PAIRS} | elsewhere == {rule.__name__ for rule in RULES}


def test_a_plan_that_changed_and_became_slower(source: str) -> None:
    """Intent: a change of shape together with a change of time is a finding; either one alone is none."""
    plan = reviewed(source, "SELECT count(*) FROM orders WHERE amount = 7").plan
    slower = Case(plan, {}, None, ms=900.0, before=Before("another", 100.0))
    assert [verdict.kind for verdict in plan_changed(slower)] == ["plan_changed"]
    alike = Case(plan, {}, None, ms=110.0, before=Before("another", 100.0))
    assert ["about as long" in verdict.as_dict().get("reason", "") for verdict in plan_changed(alike)] == [True]
    same = Case(plan, {}, None, ms=900.0, before=Before(plan.shape, 100.0))
    assert not list(plan_changed(same))


def test_the_shape_is_that_of_the_plan(source: str) -> None:
    """Intent: other values and other estimates are the same shape; another index or join is another one."""
    first = reviewed(source, "SELECT note FROM orders WHERE customer = 7").plan
    assert first.shape == reviewed(source, "SELECT note FROM orders WHERE customer = 8").plan.shape
    without = {"enable_indexscan": "off", "enable_bitmapscan": "off"}
    assert first.shape != reviewed(source, "SELECT note FROM orders WHERE customer = 7", **without).plan.shape


def test_a_plan_survives_its_json(source: str) -> None:
    """Intent: what is kept of a plan is the plan."""
    plan = reviewed(
        source, "SELECT status, count(*) FROM orders JOIN customers c ON c.id = customer GROUP BY 1", True
    ).plan
    assert plan_of(plan.as_dict()) == plan
