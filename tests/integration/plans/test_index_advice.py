"""Index advice on real sources: a PostgreSQL without hypopg, and, where the machine has it, one with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from superset_ext.plans.indexes.advise import advise
from superset_ext.plans.indexes.catalog import read_catalog
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.scratch import server
from superset_ext.plans.indexes.sizes import size_of
from superset_ext.plans.indexes.source import only_reading
from superset_ext.plans.indexes.whatif import Question, WhatIf
from testing import hypopg
from testing.databases import Databases
from testing.indexes import BROKEN, BY_CUSTOMER, BY_SHOP, SMALL, asked, fill, objects, reading

SALES = TableName("public", "sales")


@pytest.fixture(scope="module")
def plain(databases: Databases) -> Iterator[str]:
    """A source without hypopg."""
    with databases.empty() as url:
        fill(url)
        yield url


@pytest.fixture(scope="module")
def costed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A source with hypopg, of an older PostgreSQL."""
    if hypopg.binaries() is None:
        pytest.skip(hypopg.MISSING)
    with hypopg.server(tmp_path_factory.mktemp("hypopg") / "data") as url:
        fill(f"{url}/postgres")
        with closing(psycopg2.connect(f"{url}/postgres")) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION hypopg")
        yield f"{url}/postgres"


def keys(index: Index) -> list[str]:
    return [key.text for key in index.keys]


def test_where_nothing_costs_rules_name_indexes_and_say_so(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the index that a person would make is named, none on a small table, and no cost is guessed."""
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    before = objects(plain)
    with reading(plain) as cursor:
        advice = advise(cursor, asked(BY_CUSTOMER, SMALL))
    assert [keys(proposal.index) for proposal in advice.proposals] == [["customer", "placed"]]
    (proposal,) = advice.proposals
    assert (proposal.seconds, advice.after, proposal.reach) == (None, None, 10_000.0)
    assert advice.notes[0].startswith("not costed: the source has no hypopg")
    assert [item.charts for item in proposal.gains] == [(0,)]
    assert objects(plain) == before


def test_a_rule_names_no_index_that_is_there(plain: str) -> None:
    """Intent: what an index of the source begins with is not advised again."""
    with reading(plain) as cursor:
        assert not advise(cursor, asked("SELECT sum(price) FROM sales WHERE id = 3")).proposals


def test_needless_indexes_are_told_and_keys_are_not(plain: str) -> None:
    """Intent: of two equal indexes one could go, though nobody asks their table; keys stay."""
    with reading(plain) as cursor:
        advice = advise(cursor, asked(SMALL))
    assert [(item.kind, item.existing.name) for item in advice.needless] == [("duplicate", "sales_shop")]
    assert advice.needless[0].existing.drop == 'DROP INDEX CONCURRENTLY "public"."sales_shop";'
    assert any("unused indexes are not told yet" in note for note in advice.notes)


@pytest.mark.parametrize("source", ["plain", "costed"])
def test_a_source_that_was_asked_nothing_has_no_proposals(source: str, request: pytest.FixtureRequest) -> None:
    """Intent: an empty log is no error, and says nothing of what would help."""
    with reading(request.getfixturevalue(source)) as cursor:
        advice = advise(cursor, [])
    assert (advice.proposals, advice.seconds) == ((), 0.0)


def test_a_broken_build_is_told(databases: Databases) -> None:
    """Intent: what a failed CREATE INDEX CONCURRENTLY leaves behind is named."""
    with databases.empty() as url, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE TABLE sales (price int); INSERT INTO sales VALUES (1), (0)")
        with pytest.raises(psycopg2.errors.DivisionByZero):
            cursor.execute("CREATE INDEX CONCURRENTLY broken ON sales ((1 / price))")
        cursor.execute("CREATE INDEX whole ON sales (price)")
        with reading(url) as asking:
            (item,) = advise(asking, asked("SELECT price FROM sales")).needless
    assert (item.kind, item.existing.name) == ("invalid", "broken")


@pytest.mark.parametrize(
    "index",
    [
        Index(SALES, (Key("customer"),)), Index(SALES, (Key("status"),)), Index(SALES, (Key("email"),)),
        Index(SALES, (Key("placed"),)), Index(SALES, (Key("price"),)), Index(SALES, (Key("shop"), Key("status"))),
        Index(SALES, (Key("customer"), Key("placed"))), Index(SALES, (Key("customer"),), ("price",)),
        Index(SALES, (Key("gone"),)), Index(SALES, (Key("placed"),), method="brin"),
        Index(SALES, (Key("status"), Key("price"))), Index(SALES, (Key("email"), Key("shop"))),
    ],
    ids=lambda index: index.name,
)  # fmt: skip
def test_a_size_is_that_of_the_built_index(plain: str, index: Index) -> None:
    """Intent: budgets are of bytes that are really taken: equal values share entries, decimals do not."""
    with reading(plain) as cursor:
        table = read_catalog(cursor, ["sales"]).of(SALES)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX built {index.definition}")
        cursor.execute("SELECT pg_relation_size('built')")
        (size,) = cursor.fetchone() or (0,)
        connection.rollback()
    assert 0.9 < size_of(index, table) / size < 1.1, (size_of(index, table), size)


def test_with_hypopg_what_is_saved_is_the_planners(costed: str) -> None:
    """Intent: the proposals are worth what the planner says with exactly them, and nothing is made on the source."""
    before = objects(costed)
    statements = asked(BY_CUSTOMER, BY_SHOP, SMALL, BROKEN)
    with reading(costed) as cursor:
        advice = advise(cursor, statements, 2**40)
        assert objects(costed) == before
        assert advice.after is not None
        assert advice.after < 0.2 * advice.seconds
        assert advice.seconds == pytest.approx(17_500.0), "the statement that cannot be planned counts nothing"
        texts = [(item.statement.sql, item.statement.parameters) for item in statements[:3] if item.statement]
        fresh = WhatIf(cursor, "public", [proposal.index.definition for proposal in advice.proposals], texts)
        chosen = tuple(range(len(advice.proposals)))
        none, every = fresh.ask([Question((), (0, 1, 2)), Question(chosen, (0, 1, 2))])
    after = sum(
        item.seconds * new.total / old.total
        for item, new, old in zip(statements, every, none, strict=False)
        if new is not None and old is not None
    )
    assert advice.after == pytest.approx(after, rel=1e-9)
    assert "1 statement left out, which the source cannot plan" in advice.notes
    assert sum(proposal.seconds or 0.0 for proposal in advice.proposals) == pytest.approx(advice.seconds - advice.after)


def test_a_hypothetical_index_costs_about_what_the_built_one_does(costed: str) -> None:
    """Intent: the advice holds once somebody follows it: the planner takes the real index too."""
    definition = Index(SALES, (Key("customer"), Key("placed"))).definition
    (item,) = asked(BY_CUSTOMER)
    assert item.statement is not None
    text = [(item.statement.sql, item.statement.parameters)]
    with reading(costed) as cursor:
        ((hypothetical,),) = WhatIf(cursor, "public", [definition], text).ask([Question((0,), (0,))])
    with closing(psycopg2.connect(costed)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX built {definition}")
        ((built,),) = WhatIf(cursor, "public", [], text).ask([Question((), (0,))])
        connection.rollback()
    assert hypothetical is not None
    assert built is not None
    assert hypothetical.used == (0,)
    assert hypothetical.total == pytest.approx(built.total, rel=0.3)


@pytest.mark.parametrize(
    "definition",
    [
        Index(SALES, (Key("customer"),), ("price",)), Index(SALES, (Key("customer"),), where='"gone" IS NULL'),
        Index(SALES, (Key('LOWER("email")', ("email",)),)), Index(SALES, (Key("placed"),), method="brin"),
    ],
    ids=["covering", "partial", "expression", "brin"],
)  # fmt: skip
def test_each_kind_of_index_can_be_asked_for(costed: str, definition: Index) -> None:
    """Intent: what is written for hypopg is what PostgreSQL takes."""
    with reading(costed) as cursor:
        ((cost,),) = WhatIf(cursor, "public", [definition.definition], [("SELECT 1", 0)]).ask([Question((0,), (0,))])
    assert cost is not None


@pytest.mark.parametrize(
    "text", ["SELECT 1; SELECT 2", "SELECT 1; CREATE TABLE made (a int)", "garbage", "SELECT pg_sleep('x')"]
)
def test_what_is_no_single_query_is_refused_by_the_source(costed: str, text: str) -> None:
    """Intent: whatever gets past the parser, the source plans one statement at most; the run goes on."""
    before = objects(costed)
    with reading(costed) as cursor:
        whatif = WhatIf(cursor, "public", [], [(text, 0), ("SELECT 1", 0)])
        ((refused, planned),) = whatif.ask([Question((), (0, 1))])
    assert (refused, planned is not None, list(whatif.errors)) == (None, True, [0])
    assert objects(costed) == before


def test_a_partial_index_is_as_large_as_its_share_of_the_rows(costed: str) -> None:
    """Intent: an index on a fiftieth of the rows is proposed with a fiftieth of the bytes."""
    live = ["SELECT sum(price) FROM sales WHERE gone IS NULL AND customer > 7",
            "SELECT count(*) FROM sales WHERE gone IS NULL AND status = 'status 3'"]  # fmt: skip
    with reading(costed) as cursor:
        advice = advise(cursor, asked(*live), 200_000)
    partial = [proposal for proposal in advice.proposals if proposal.index.where]
    assert partial
    assert all(proposal.bytes < 100_000 for proposal in partial)


def test_a_session_keeps_no_hypothetical_index(costed: str) -> None:
    """Intent: through a pooler, the next user of the connection sees their own indexes alone."""
    with closing(psycopg2.connect(costed)) as connection:
        with only_reading(connection) as cursor:
            advise(cursor, asked(BY_CUSTOMER))
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM hypopg_list_indexes")
            assert cursor.fetchone() == (0,)
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert cursor.fetchone() == (0,)
