"""Generated SQL: no scope, dialect or quote loses a table, and nothing raises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.writes import written_tables
from superset_ext.sqltables.written import Written
from testing.sql_text import BQ, CH, DUCK, HIVE, LITE, MS, MY, NAMES, ORA, PG, SF, TR, Query, queries, tables

FEW = settings(max_examples=150, deadline=None)


@FEW
@given(queries())
def test_every_scope_is_seen(query: Query) -> None:
    """Intent: what SQL means by a name is what is found, however WITH and subqueries are nested in each other."""
    read = read_tables(query.sql, PG)
    if query.double:
        assert read is None or read >= tables(", ".join(query.tables))
    else:
        assert read == (tables(", ".join(query.tables)) or None)


@FEW
@given(queries(), st.sampled_from((MY, SF, BQ, TR, CH, LITE, DUCK, ORA, "redshift", "databricks", "base")))
def test_no_dialect_loses_a_table(query: Query, engine: str) -> None:
    """Intent: whatever a dialect makes of the text, an answer holds all tables."""
    read = read_tables(query.sql, engine)
    assert read is None or read >= tables(", ".join(query.tables))


@FEW
@given(queries(), st.data())
def test_quotes_lose_no_table(query: Query, data: st.DataObject) -> None:
    """Intent: a quoted name that looks like a CTE may be a table, and costs at most one too many."""
    words = query.sql.split(" ")
    for place, word in enumerate(words):
        if word in NAMES and data.draw(st.booleans()):
            words[place] = f'"{word}"'
    read = read_tables(" ".join(words), PG)
    assert read is None or read >= tables(", ".join(query.tables))


SYNTAX = """
SELECT FROM WITH AS ( ) , ; . * a b s INSERT INTO UPDATE SET DELETE MERGE USING ON WHEN THEN CREATE TABLE VIEW DROP
ALTER RENAME TO REFRESH MATERIALIZED COPY LOAD DATA EXPLAIN ANALYZE BEGIN END VALUES UNION JOIN WHERE IN = 1 'x' " ` [
] -- /* */ $$ @ # { } BY LATERAL RECURSIVE RETURNING OUTPUT IF EXISTS PARTITION |>
"""


WORDS = st.sampled_from(SYNTAX.split())


ENGINES = st.sampled_from((PG, MY, SF, BQ, TR, MS, CH, LITE, ORA, DUCK, HIVE, "kustokql", "base", "nobody's"))


@FEW
@given(st.text(max_size=60) | st.lists(WORDS, max_size=12).map(" ".join), ENGINES)
def test_nothing_raises(sql: str, engine: str) -> None:
    """Intent: what cannot be understood is an answer too, for whatever somebody typed."""
    read, written = read_tables(sql, engine), written_tables(sql, engine)
    assert read is None or read
    assert written is None or isinstance(written, Written)
