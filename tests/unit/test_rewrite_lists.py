"""Long lists of constants are not parsed one by one, and the trees are the same."""

from __future__ import annotations

import random

import pytest
import sqlglot
from sqlglot.dialects.postgres import Postgres

from superset_ext.plans.rewrite import lists
from superset_ext.plans.rewrite.lists import trees

FORMS = (
    "SELECT 1 FROM t WHERE {one}", "SELECT 1 FROM t WHERE NOT ({one}) AND x NOT {other}",
    "SELECT SUM(CASE WHEN {one} THEN 1 ELSE 0 END) FROM t GROUP BY {other} HAVING MAX(a) {other}; SELECT 2",
    "SELECT 1 FROM (SELECT * FROM t WHERE {one}) AS v WHERE {other} OR {one}", "SELECT {one} /* {other} */ AS x",
    "SELECT POSITION('a' {other}), x {other}", "WITH a AS (SELECT 1 WHERE {one}) SELECT * FROM a WHERE {one}",
)  # fmt: skip
CONSTANTS = (
    "'a'", "'it''s'", "'\\n'", "'0'", "0", "17", "1.50", "1e3", ".5", "'é'", "E'x'", "-3", "NULL", "'a' 'b'", "TRUE",
    "DATE '2024-01-01'", "(SELECT 1)", "('a')", "x", "''", "1 + 1", "'a'::text",
)  # fmt: skip


def a_list(some: random.Random) -> str:
    """`IN` with a list: mostly of nothing but constants."""
    known = CONSTANTS[:10] if some.random() < 0.7 else CONSTANTS
    values = [some.choice(known) for _ in range(some.choice((1, 2, 4, 5, 30)))]
    return f"IN ({some.choice((', ', ',')).join(values)})"


@pytest.mark.parametrize("engine", ["postgres", "duckdb"])
def test_lists_are_put_back_where_they_were(engine: str) -> None:
    """Intent: a text with lists has the same trees, or the same error, as if sqlglot had read all of it."""
    some, same = random.Random(8), 0
    for _ in range(400):
        text = some.choice(FORMS).format(one=f"x {a_list(some)}", other=a_list(some))
        try:
            expected = sqlglot.parse(text, dialect=engine)
        except sqlglot.errors.SqlglotError:
            with pytest.raises(sqlglot.errors.SqlglotError):
                trees(text, engine)
            continue
        read = trees(text, engine)
        assert [repr(tree) for tree in read] == [repr(tree) for tree in expected if tree is not None], text
        same += 1
    assert same > 100


def test_a_long_list_costs_the_parser_one_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a filter of 1,000 values is parsed as fast as one of one value."""
    seen = []
    whole = Postgres.Parser.parse
    monkeypatch.setattr(
        Postgres.Parser, "parse", lambda self, tokens, sql: seen.append(len(tokens)) or whole(self, tokens, sql)
    )
    values = [f"'{number}'" for number in range(1000)]
    (tree,) = trees(f"SELECT 1 FROM t WHERE x IN ({', '.join(values)})", "postgres")
    assert seen == [10]
    assert [value.sql() for value in tree.find(sqlglot.exp.In).expressions] == values  # type: ignore[union-attr]
    trees("SELECT 1 FROM t WHERE x IN (1, 2)", "postgres")
    assert len(seen) == 2 and lists._FEW >= 2


def test_a_text_that_looks_like_a_place_is_read_whole() -> None:
    """Intent: a value that is what stands for a list meanwhile stays what it is."""
    one, other = f"x IN ('{lists._MARK}0')", "y IN ('a', 'b', 'c', 'd', 'e')"
    for text in (f"SELECT 1 FROM t WHERE {one} AND {other}", f"SELECT 1 FROM t WHERE {other} AND {one}"):
        assert trees(text, "postgres") == sqlglot.parse(text, dialect="postgres")
