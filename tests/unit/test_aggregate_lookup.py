"""The smallest of many aggregates is found, and the same one as by looking at each."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from superset_ext.aggregates import lookup
from superset_ext.aggregates.lookup import Lookup
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.names import in_schema
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.tables.definition import Definition
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregate_many import statement, views
from testing.aggregate_sales import read, view_for

UTC = Allowed(zone="UTC")
SHOPS = "SELECT shop, COUNT(*) AS n FROM sales GROUP BY shop"


def test_what_is_found_is_the_smallest_that_answers() -> None:
    """Intent: leaving aggregates out by their columns loses none that answers, whatever the statement."""
    some = random.Random(3)
    made = views(some, ["facts_0", "facts_1"], 15)
    several, answered = Lookup(made, "postgres"), 0
    for _ in range(40):
        sql = statement(some, some.choice(("facts_0", "facts_1")), some.randint(0, 2))
        shape = lookup.shape_of(lookup.parsed(sql, "postgres"), "postgres", made[0].columns)  # type: ignore[arg-type]
        results = [match(shape, view, UTC) for view in sorted(made, key=lambda view: view.rows or 0)]
        best = next((one for one in results if isinstance(one, Match)), None)
        answer = several.answer(sql, UTC)
        assert (answer == best) if best is not None else isinstance(answer, Refusal), sql
        answered += best is not None
    assert 0 < answered < 40


def test_only_what_has_all_that_is_asked_is_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: of many aggregates those are matched alone that have its columns, grains, sums and counts."""
    tried: list[str] = []
    whole = lookup.match
    monkeypatch.setattr(
        lookup, "match", lambda shape, view, *more: tried.append(view.table) or whole(shape, view, *more)
    )
    asked = "SELECT shop, AVG(size) AS a, MAX(price) AS p FROM sales WHERE at >= '2024-01-01' GROUP BY shop"
    others = [
        asked.replace("AVG", "SUM"), asked.replace("AVG", "COUNT"), asked.replace("MAX", "MIN"),
        asked.replace("shop", "paid"), asked.replace("WHERE at >= '2024-01-01'", ""),
        asked.replace("at >= '2024-01-01'", "DATE_TRUNC('week', at) = '2024-01-01'"),
    ]  # fmt: skip
    lacking = [replace(view_for(sql, rows=number), table=f"less_{number}") for number, sql in enumerate(others)]
    several = Lookup([*lacking, replace(view_for(asked, rows=90), table="all"), view_for(asked, rows=99)], "postgres")
    assert isinstance(several.answer(asked, UTC), Match) and tried == ["all"]


def test_a_statement_without_a_candidate_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: what reads other tables costs next to nothing; what was seen before is not parsed again."""
    texts = []
    several = Lookup([view_for(SHOPS)], "postgres")
    whole = lookup.parsed
    monkeypatch.setattr(lookup, "parsed", lambda sql, engine: texts.append(sql) or whole(sql, engine))
    assert several.answer("SELECT COUNT(*) AS n FROM elsewhere", UTC) == Refusal(
        "no aggregate is made of what it reads"
    )
    assert not texts
    first, second = several.answer(SHOPS, UTC), several.answer(SHOPS, UTC)
    assert isinstance(first, Match) and second is first and texts == [SHOPS]
    assert isinstance(several.answer(SHOPS, Allowed(zone="Europe/Berlin")), Match) and len(texts) == 2


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT paid, COUNT(*) AS n FROM sales GROUP BY 1", "no aggregate keeps what is asked of the column 'paid'"),
        ("SELECT SUM(size) AS s FROM sales", "no aggregate keeps what is asked of the column 'size'"),
        ("SELECT COUNT(*) AS n FROM other.sales", "no aggregate is made of what it reads"),
        ("SELECT shop FROM sales", "it asks for rows, which are not grouped"),
        ("SELECT shop, COUNT(*) AS n FROM sales", "it gives a column that it does not group by"),
        ("DELETE FROM sales", "it is not exactly one SELECT"),
    ],
)
def test_a_refusal_says_why(sql: str, reason: str) -> None:
    """Intent: one sees what a chart would have to ask to be served."""
    answer = Lookup([view_for(SHOPS)], "postgres").answer(sql, UTC)
    assert isinstance(answer, Refusal) and answer.reason == reason


def test_a_virtual_dataset_has_aggregates_of_its_own() -> None:
    """Intent: a query is another relation than its table; the same text finds what was made of it."""
    dataset = "SELECT shop, COUNT(*) AS n FROM (SELECT * FROM sales WHERE size > 3) AS v GROUP BY shop"
    table, query = view_for(SHOPS, rows=1), replace(view_for(dataset, rows=9), table="aggregates.sales_2")
    several = Lookup([table, query], "postgres")
    for sql, view in ((SHOPS, table), (dataset, query)):
        answer = several.answer(sql, UTC)
        assert isinstance(answer, Match) and view_of(answer) == view.table
    assert not isinstance(match(read(dataset), table, UTC), Match)


@pytest.mark.parametrize(
    ("source", "is_same"),
    [
        ("sales", True), ("public.sales", True), ('"sales" AS s', True), ("other.sales", False),
        ("here.public.sales", False), ("pg_sales", False),
    ],
)  # fmt: skip
def test_a_table_is_the_same_with_and_without_its_schema(source: str, is_same: bool) -> None:
    """Intent: a name means the table of the schema where it is looked up, and no other one of that name."""
    view = replace(view_for(SHOPS), relation='"public"."sales"')
    several, sql = Lookup([view], "postgres", "public"), SHOPS.replace("sales", source)
    assert isinstance(several.answer(sql, UTC), Match) is is_same
    if source == "sales":
        assert not isinstance(Lookup([view], "postgres", "other").answer(sql, UTC), Match)
        assert not isinstance(Lookup([view], "postgres").answer(sql, UTC), Match)


def test_an_aggregate_is_of_the_table_that_it_was_built_of() -> None:
    """Intent: what the catalogue knows of a name without a schema is the table that it meant then; inside a query too,
    but for names of WITH; where several schemas were looked through, nothing is said of a query."""
    dataset = "SELECT shop, COUNT(*) AS n FROM (SELECT * FROM {} WHERE size > 3) AS v GROUP BY shop"
    table, query = view_for(SHOPS), view_for(dataset.format("sales"))
    by_table = Definition("a", table, ("other",), ("public", "sales")).settled_view
    by_query = Definition("b", query, ("public",), None).settled_view
    several = Lookup([by_table, replace(by_query, table="aggregates.sales_2")], "postgres", "public")
    for name in ("sales", "public.sales"):
        assert view_of(several.answer(SHOPS.replace("sales", name), UTC)) == table.table
        assert view_of(several.answer(dataset.format(name), UTC)) == "aggregates.sales_2"
    assert not isinstance(several.answer(dataset.format("other.sales"), UTC), Match)
    assert Definition("b", query, ("one", "two"), None).settled_view == query
    within = parsed("WITH sales AS (SELECT * FROM shops) SELECT * FROM sales", "postgres")
    text = in_schema(within, "s", "postgres").sql("postgres")  # type: ignore[arg-type]
    assert text == 'WITH sales AS (SELECT * FROM "s"."shops") SELECT * FROM sales'


def test_one_table_under_two_names_is_one_aggregate() -> None:
    """Intent: an aggregate that is there is not built a second time because a statement names the schema."""
    one, other = view_for(SHOPS), view_for(SHOPS.replace("sales", "public.sales"))
    base = ("public", "sales")
    assert Definition("a", one, ("public",), base).digest == Definition("b", other, ("x",), base).digest


def view_of(answer: Match | Refusal) -> str:
    assert isinstance(answer, Match), answer
    view: View = answer.view
    return view.table
