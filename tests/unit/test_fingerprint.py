"""What is kept of SQL: never a value, and the same for what differs in values alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superset_ext.monitor.log.fingerprint import MAX_TEXT, Statements, normalised
from superset_ext.monitor.log.queries import MAX_SQL

ENGINES = [
    "postgresql",
    "mysql",
    "bigquery",
    "snowflake",
    "mssql",
    "oracle",
    "trino",
    "sqlite",
    "clickhouse",
    "nobodys",
]
SECRET = "hush"


@pytest.mark.parametrize(
    ("engine", "sql", "kept"),
    [
        ("postgresql", "select a from t where b = 'x' and c > -1.5e3", "SELECT a FROM t WHERE b = ? AND c > ?"),
        ("postgresql", 'SELECT a-1, "B"\nFROM t -- why\nWHERE c IN (1, 2)', 'SELECT a - ?, "B" FROM t WHERE c IN (?)'),
        ("postgresql", "SELECT count( * ) FROM s.t WHERE d='2026-01-01'", "SELECT count(*) FROM s.t WHERE d = ?"),
        ("postgresql", "INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?)"),
        ("postgresql", "SELECT 1_000; SHOW x", "SELECT ?; SHOW ?"),
        ("mysql", 'SELECT `a` FROM t WHERE b = "x"', "SELECT `a` FROM t WHERE b = ?"),
        ("sqlite", 'SELECT t."a" AS "b" FROM "t" WHERE c = "x"', 'SELECT t."a" AS "b" FROM "t" WHERE c = ?'),
        ("mssql", "SELECT [a b] FROM t WHERE c = N'x'", "SELECT [a b] FROM t WHERE c = ?"),
        ("nobodys", "SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = ?"),
        ("postgresql", "SELECT a FROM t WHERE b = 'never closed", "SELECT a FROM t WHERE b = ?"),
        ("oracle", "CREATE USER a IDENTIFIED BY tiger", "CREATE USER a IDENTIFIED BY ?"),
        (
            "postgresql",
            "SELECT DATE_TRUNC('day', ds) AS ds, sum(n) AS total FROM (SELECT * FROM a) AS virtual_table "
            "GROUP BY DATE_TRUNC('day', ds) ORDER BY total DESC NULLS LAST LIMIT 7",
            "SELECT DATE_TRUNC(?, ds) AS ds, sum(n) AS label1 FROM (SELECT * FROM a) AS virtual_table "
            "GROUP BY DATE_TRUNC(?, ds) ORDER BY label1 DESC NULLS LAST LIMIT ?",
        ),
        (
            "postgresql",
            'SELECT count(*) AS orders, CAST(a AS date) FROM "Weird Table" JOIN orders AS o ON o."a b" = 1',
            'SELECT count(*) AS label1, CAST(a AS date) FROM "Weird Table" JOIN orders AS o ON o."a b" = ?',
        ),
        ("snowflake", "SELECT a AT TIME ZONE 'x', src:a.b FROM t", "SELECT a AT TIME ZONE ?, src : ?.? FROM t"),
        ("oracle", "SELECT a FROM t u FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t u FETCH FIRST ? ROWS ONLY"),
    ],
)  # fmt: skip
def test_values_go_and_names_stay(engine: str, sql: str, kept: str) -> None:
    """Intent: a person recognises their query, and its values are not in it."""
    assert normalised(sql, engine) == kept


@pytest.mark.parametrize(
    ("engine", "sql"),
    [
        ("postgresql", r"SELECT E'it\'s hush', U&'hush', $$hush$$, $t$hush$t$ FROM t /* hush */ -- hush"),
        ("mysql", r"""SELECT 'it\'s hush', "hush", x'68757368' FROM t # hush"""),
        ("bigquery", "SELECT r'hush', '''it's hush''', \"hush\" FROM `t`"),
        ("oracle", "SELECT q'[it's hush]', n'hush' FROM dual"),
        ("oracle", "SELECT q'[a' hush b' c]' FROM dual"),
        ("sqlite", 'SELECT a FROM t WHERE b IN ("x", "hush") AND lower("hush") = "hush"'),
        ("mssql", "EXEC sp_login 'hush', hush"),
        ("nobodys", r"SELECT 'a\', 'hush', `hush`, $$hush$$ FROM t"),
        ("nobodys", "SELECT a FROM t WHERE b = \"hush\""),
        ("postgresql", "SELECT '{{ password(\"hush\") }}', {{ f(\"hush\") }} FROM t"),
        ("postgresql", "SELECT 'x' AS a FROM t WHERE b = 'hush AND c = 'hush'"),
        ("postgresql", "COPY t FROM 's3://b' CREDENTIALS 'hush'"),
        ("postgresql", "ALTER USER a PASSWORD 'hush'"),
        ("oracle", "SELECT /*+ FULL(hush) */ a FROM t"),
        ("mysql", "SELECT /*+ SET_VAR(x='hush') */ a FROM t /*!50000 hush */"),
        ("snowflake", "SELECT src:hush.\"hush\".b, src:b.hush::int FROM @stage/hush.csv"),
        ("mysql", "SELECT @hush := 'hush', :hush FROM t"),
        ("clickhouse", "SELECT a FROM s3('hush', 'hush') LIMIT 5"),
    ],
)  # fmt: skip
def test_no_way_of_writing_a_value_keeps_it(engine: str, sql: str) -> None:
    """Intent: whatever quotes an engine knows, and whatever was typed wrongly, what may be a secret is not kept."""
    assert SECRET not in normalised(sql, engine)


@pytest.mark.parametrize(
    ("engine", "sql"),
    [
        ("postgresql", """SELECT CASE WHEN k = '{}' THEN 1 END AS "case when k='{}' then 1 end" FROM t
            GROUP BY CASE WHEN k = '{}' THEN 1 END ORDER BY "case when k='{}' then 1 end" """),
        ("bigquery", """SELECT `_case_when_{}_abc` AS `_case_when_{}_abc` FROM
            (SELECT CASE WHEN k = '{}' THEN 1 END AS `_case_when_{}_abc` FROM t) AS virtual_table
            GROUP BY `_case_when_{}_abc` HAVING EXTRACT(DAY FROM `_case_when_{}_abc`) > 1"""),
        ("postgresql", "SELECT 1 AS {} FROM t ORDER BY {}"),
        ("postgresql", 'SELECT a, sum(b) "{}", \'x\' {}x FROM t ORDER BY {}x'),
        ("oracle", "SELECT sum(b) {} FROM t u ORDER BY {} NULLS LAST"),
        ("postgresql", """SELECT "k = '{}'" AS "k = '{}'", t."{}: 4711" FROM t WHERE t."n > '{}'" """),
        ("postgresql", "WITH x({}) AS (SELECT 1) SELECT q.{}b FROM x JOIN f() AS q({}b, c) ON a IS DISTINCT FROM {}"),
        ("clickhouse", "WITH 1 AS {} SELECT sum(x AS {}b) FROM t WHERE {} > {}b"),
        ("mysql", "SELECT 1 AS '{}' FROM t ORDER BY {}"),
        ("mssql", "SELECT TOP 5 {} = a, b AS [{} 1] FROM t ORDER BY {}"),
        ("duckdb", "SELECT {}: 42, a FROM t ORDER BY {}"),
        ("hive", "SELECT {} FROM t LATERAL VIEW explode(m) u AS {}"),
        ("trino", "SELECT CAST(a AS varchar(3)) {} FROM t UNION ALL SELECT {} FROM u"),
        ("nobodys", "SELECT a AS {}, `b` FROM t ORDER BY {}"),
        ("postgresql", "SELECT a AS {} FROM t WHERE b = 'never closed"),
    ],
)  # fmt: skip
def test_a_label_is_a_value(engine: str, sql: str) -> None:
    """Intent: what people type or Superset derives as a column's label is not kept, wherever it is repeated, and two
    queries that differ in it are one statement."""
    kept = {normalised(sql.replace("{}", value), engine) for value in ("hush", "other", "Other2")}
    assert len(kept) == 1
    assert SECRET not in kept.pop().casefold()


@given(
    engine=st.sampled_from([engine for engine in ENGINES if engine != "nobodys"]),
    label=st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\0[]"`\\\\{}'), max_size=20),
)
def test_any_label_goes(engine: str, label: str) -> None:
    """Intent: no text makes a quoted label come through, in any dialect's quotes."""
    opened, closed = {"mssql": "[]", "mysql": "``", "bigquery": "``", "sqlite": "``"}.get(engine, '""')
    quoted = f"{opened}hush{label}hush{closed}"
    sql = f"SELECT f(a) AS {quoted} FROM (SELECT 1 AS {quoted} FROM t) x GROUP BY {quoted} ORDER BY {quoted} DESC"
    assert SECRET not in normalised(sql, engine)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="'\\"), max_size=30)


@given(engine=st.sampled_from(ENGINES), values=st.lists(_TEXT, min_size=1, max_size=5), number=st.integers(10**6))
def test_any_value_goes(engine: str, values: list[str], number: int) -> None:
    """Intent: no text and no number within quotes or lists comes through, in any dialect."""
    marked = ", ".join(f"'hush{value}hush'" for value in values)
    kept = normalised(f"SELECT a, {number} FROM t WHERE b IN ({marked}) AND c = 7{number}", engine)
    assert SECRET not in kept
    assert str(number) not in kept


@given(st.text(max_size=200), st.sampled_from(ENGINES))
def test_anything_typed_gives_a_line(sql: str, engine: str) -> None:
    """Intent: no text makes it fail, and what comes of it fits a column of the log."""
    kept = normalised(sql, engine)
    assert "\0" not in kept
    kept.encode()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=2000), st.sampled_from(["{}", "'{}'"]))
def test_lists_of_any_length_are_one_statement(values: list[int], written: str) -> None:
    """Intent: what differs in its values, their number included, is one statement; long lists are no other one."""
    listed = ", ".join(written.format(value) for value in values)
    assert normalised(f"SELECT a FROM t WHERE b IN ({listed})", "postgresql") == "SELECT a FROM t WHERE b IN (?)"


@pytest.mark.parametrize("piece", ["'", "''a", "'a", '"', "$", "$a$", "1", "1 ", "/*", "(", "'a',", " ", "-", "{{"])
def test_no_text_takes_long(piece: str) -> None:
    """Intent: nobody holds up a server by what they type: time grows with the text, not with its square."""
    sql = piece * (MAX_SQL // len(piece))
    started = time.process_time()
    normalised(sql, "postgresql")
    assert time.process_time() - started < 60  # of the square it would take hours


def test_a_statement_is_of_its_database_and_is_cut_at_a_length() -> None:
    """Intent: two sources with the same SQL are told apart; a text of any length fits, and has a fingerprint of all."""
    statements = Statements()
    one, other = (statements.of("SELECT a FROM t WHERE b = 1", "postgresql", number) for number in (1, 2))
    assert one.text == other.text
    assert one.fingerprint != other.fingerprint
    assert statements.of("SELECT  a FROM t WHERE b = 22", "postgresql", 1) == one
    columns = ", ".join(f"column_{number}" for number in range(2000))
    long, longer = (statements.of(f"SELECT {columns}, {last} FROM t", "postgresql", 1) for last in ("a", "b"))
    assert len(long.text) == MAX_TEXT
    assert long.text == longer.text
    assert long.fingerprint != longer.fingerprint


def test_what_is_remembered_is_bounded() -> None:
    """Intent: a crawler over a million queries does not fill memory."""
    statements = Statements()
    for number in range(1_100):
        statements.of(f"SELECT c{number} FROM t", "postgresql", 1)
    assert len(statements._known) == 1_000


@pytest.mark.parametrize("engine", ["postgresql", "mysql", "duckdb", "mssql"])
@pytest.mark.parametrize("sql", ["SELECT a FROM t ORDER BY total DESC, city", "SELECT a FROM t GROUP BY region, city"])
def test_the_last_column_is_no_label(engine: str, sql: str) -> None:
    """Intent: a name at the very end of a statement is that of a column, and stays one: plans and index advice name it,
    and a condition on it elsewhere is not hidden."""
    assert normalised(sql, engine).endswith("city")
