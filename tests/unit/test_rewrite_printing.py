"""Whether sqlglot prints what it read is seen without a parser, where the tokens are the same."""

from __future__ import annotations

import random
import re

import pytest
import sqlglot

from superset_ext.plans.rewrite import printing
from superset_ext.plans.rewrite.printing import has_same_tokens
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregate_many import statement

CHARTS = (
    "SELECT DATE_TRUNC('day', order_date) AS order_date, sum(sales) AS \"SUM(sales)\" \nFROM public.sales \n"
    "WHERE order_date >= TO_TIMESTAMP('2003-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') "
    "GROUP BY DATE_TRUNC('day', order_date) ORDER BY \"SUM(sales)\" DESC \n LIMIT 1000;",
    "SELECT count(*) AS n, name AS name FROM (SELECT * FROM birth_names\nWHERE gender = 'it''s') AS virtual_table "
    "WHERE name IN ('a b', 'É', 'c,(d)') GROUP BY name LIMIT 50000",
)
# What must not be taken for the same, each with what it is not.
OTHERS = (
    ("SELECT 'a b' AS x", "SELECT 'a  b' AS x"),
    ("SELECT 'a' AS x", "SELECT 'A' AS x"),
    ("SELECT N'a'", "SELECT N 'a'"),
    ("SELECT a < = b", "SELECT a <= b"),
    ("SELECT - - a", "SELECT --a"),
    ("SELECT 'a' 'b'", "SELECT 'a''b'"),
    ("SELECT a.b", "SELECT a . b"),
    ("SELECT 1 .5", "SELECT 1.5"),
    ('SELECT "A" FROM t', 'SELECT "a" FROM t'),
    ("SELECT A FROM t", "SELECT a FROM t"),
    ('SELECT "A"(x)', 'SELECT "a"(x)'),
    ("SELECT S.F(x)", "SELECT s.f(x)"),
    ("SELECT É(x)", "SELECT é(x)"),
    ("SELECT DATE_TRUNC('isoweek', x)", "SELECT DATE_TRUNC('ISOWEEK', x)"),
    ("SELECT F('day', x)", "SELECT F('DAY', x)"),
    ("SELECT 1 -- 'a'", "SELECT 1 -- 'a'"),
    ("SELECT E'a\\' b' AS x", "SELECT E'a\\' b' AS x"),
    ("SELECT $$a  b$$", "SELECT $$a b$$"),
    ("SELECT a FROM t", "SELECT a FROM t AS"),
)


@pytest.mark.parametrize(("engine", "sql"), [("postgres", CHARTS[0]), ("postgres", CHARTS[1]), ("duckdb", CHARTS[1])])
def test_a_chart_is_parsed_once(engine: str, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: what charts send is not parsed a second time to see how it is printed."""

    assert parsed("SELECT 1", engine)  # which loads the dialect

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was parsed again")

    monkeypatch.setattr(printing.sqlglot, "parse_one", never)
    assert not isinstance(parsed(sql, engine), str)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_what_may_be_read_otherwise_is_parsed(one: str, other: str) -> None:
    """Intent: spaces in strings, operators, comments, quoted names and case make another text of it."""
    assert not has_same_tokens(one, other)
    assert not has_same_tokens(other, one)


@pytest.mark.parametrize("engine", ["postgres", "duckdb"])
def test_what_has_the_same_tokens_is_read_as_the_same(engine: str) -> None:
    """Intent: of statements whose spaces and case are changed at random, all that are found to be printed as read, are
    so by the parser too."""
    some, same = random.Random(5), 0
    for number in range(150):
        text = CHARTS[number % 2] if number % 3 == 0 else statement(some, "facts", 2)
        pieces = re.findall(r"\s+|\w+|.", text)
        text = "".join(_changed(some, piece) for piece in pieces)
        try:
            tree = sqlglot.parse_one(text, dialect=engine)
        except sqlglot.errors.SqlglotError:
            continue
        printed = tree.sql(dialect=engine)
        if has_same_tokens(text, printed):
            same += 1
            assert sqlglot.parse_one(printed, dialect=engine) == tree, text
    assert same > 20


def _changed(some: random.Random, piece: str) -> str:
    if some.random() < 0.98:
        return piece
    return some.choice((piece.lower(), piece.upper(), piece.swapcase(), f"{piece} ", f" {piece}", f"{piece}\n", ""))
