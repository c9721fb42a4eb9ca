"""Functions of every dialect that read what no FROM clause names, and names that lead out of a database."""

from __future__ import annotations

import pytest

from superset_ext.sqltables.reads import Window, reads
from superset_ext.sqltables.table import Table

# Of each dialect: expressions, then sources, that read something of the same database by a name or a query in a text.
LOCAL = {
    "clickhouse": (
        "joinGet('db.j', 'v', id)", "joinGetOrNull('db.j', 'v', id)", "hasColumnInTable('db', 't', 'c')",
        "FROM merge('db', '^a')", "FROM view(SELECT 1 FROM b)", "FROM loop(db.t)",
    ),
    "postgresql": (
        "query_to_xml('SELECT 1 FROM b', true, true, '')", "table_to_xml('b', true, true, '')",
        "ts_rewrite(x, 'SELECT 1 FROM b')", "pg_relation_size('b')", "nextval('s')", "pg_read_file('/x')",
        "FROM crosstab('SELECT 1 FROM b') AS t (x int)", "FROM ts_stat('SELECT 1 FROM b')", "FROM f()",
    ),
    "pinot": ("IN_SUBQUERY(x, 'SELECT ID_SET(y) FROM b')", "inPartitionedSubquery(x, 'SELECT ID_SET(y) FROM b')"),
    "druid": ("FROM TABLE(APPEND('a', 'b'))",),
    "bigquery": (
        "FROM APPENDS(TABLE d.t, NULL, NULL)", "FROM VECTOR_SEARCH(TABLE d.t, 'c', TABLE d.q)", "FROM d.f(3)",
        "FROM ML.PREDICT(MODEL d.m, (SELECT * FROM d.a))",
    ),
    "mssql": (
        "NEXT VALUE FOR s", "dbo.f(x)", "FROM CONTAINSTABLE(t, *, 'x') k", "FROM CHANGETABLE(CHANGES t, 0) c",
    ),
    "oracle": ("DBMS_XMLGEN.GETXML('select 1 from b')", "FROM TABLE(f(1))"),
    "snowflake": ("FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))", "FROM TABLE('b')"),
    "duckdb": ("FROM query('SELECT 1 FROM b')", "FROM query_table('b')"),
    "mysql": ("LOAD_FILE('/x')",),
    "sqlite": ("readfile('/x')", "FROM pragma_table_info('b')"),
    "hive": ("reflect('java.lang.X', 'y')",),
    "databricks": ("FROM table_changes('b', 1)",),
}  # fmt: skip
# The same, of what lies in other databases, or may lie there.
BEYOND = {
    "clickhouse": (
        "dictGet('d', 'v', id)", "dictGetOrDefault('d', 'v', id, 0)", "dictHas('d', id)", "dictIsIn('d', 1, 2)",
        "dictGetHierarchy('d', id)", "dictGetUInt64('d', 'v', id)", "arrayMap(x -> dictGet('d', 'v', x), y)",
        "FROM dictionary('db.dict')", "FROM dictionary('d')", "FROM dictionary(d)", "FROM remote('h:9000', db, t)",
        "FROM remoteSecure('h', 'db', 't')", "FROM cluster('c', db.t)", "FROM clusterAllReplicas('c', db, t)",
        "FROM s3('http://x', 'CSV')", "FROM s3Cluster('c', 'http://x')", "FROM url('http://x')", "FROM file('x.csv')",
        "FROM postgresql('h', 'd', 't', 'u', 'p')", "FROM mysql('h', 'd', 't', 'u', 'p')", "FROM jdbc('x', 'y')",
        "FROM odbc('x', 'y', 'z')", "FROM mongodb('h', 'd', 't', 'u', 'p')", "FROM iceberg('x')", "FROM hdfs('x')",
        "FROM deltaLake('x')", "FROM executable('x.py', TabSeparated, 'id UInt32')", "FROM sqlite('x', 't')",
    ),
    "druid": ("LOOKUP(x, 'l')", "lookup(x, 'l', 'none')", "FROM TABLE(EXTERN('{}', '{}', '[]'))"),
    "pinot": ("LOOKUP('dim', 'c', 'k', x)", "lookUp('dim', 'c', 'k', x)"),
    "starrocks": ("dict_mapping('b', k)", "FROM FILES('path' = 'x')"),
    "pydoris": (
        "dict_get('d', 'c', k)", "dict_get_many('d', 'c', k)", "FROM s3('uri' = 'x')",
        "FROM query('catalog' = 'pg', 'query' = 'select 1 from b')",
    ),
    "postgresql": ("dblink_exec('c', 'q')", '"dblink"(x)', "FROM dblink('c', 'q') AS t (x int)", "FROM http_get('x')"),
    "bigquery": ("FROM EXTERNAL_QUERY('c', 'SELECT 1')",),
    "mssql": (
        "FROM OPENQUERY(srv, 'select 1')", "FROM OPENROWSET('p', 'c', 'q') x",
        "FROM OPENDATASOURCE('p', 'c').db.dbo.t",
    ),
    "duckdb": (
        "FROM postgres_scan('d', 's', 't')", "FROM postgres_query('d', 'q')", "FROM mysql_query('d', 'q')",
        "FROM sqlite_scan('x', 't')", "FROM iceberg_scan('x')", "FROM delta_scan('x')", "FROM read_parquet('x')",
    ),
    "trino": ("FROM TABLE(pg.system.query(query => 'q'))", 'FROM TABLE("pg"."system"."query"(query => \'q\'))'),
    "databricks": ("FROM remote_query('c', query => 'q')", "FROM read_files('s3://x')"),
    "dremio": ("FROM TABLE(src.EXTERNAL_QUERY('q'))",),
    "teradatasql": ("FROM b@server",),
    "firebolt": ("FROM READ_CSV('x')",),
}  # fmt: skip


def cases(lists: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """As statements, alone, and beside a table where a source of its own is read."""
    made = []
    for engine, parts in lists.items():
        for part in parts:
            source = part.removeprefix("FROM ")
            alone = [f"SELECT 1 {part}", f"SELECT 1 FROM d.a WHERE x > (SELECT max(y) {part})"]
            made += [(engine, sql) for sql in (alone if source != part else [f"SELECT {part} FROM d.a"])]
    return made


@pytest.mark.parametrize(("engine", "sql"), cases(LOCAL))
def test_what_reads_by_a_name_in_a_text_depends_on_its_whole_database(engine: str, sql: str) -> None:
    """Intent: no table is left out because it stands in a text; its database's tag stands for it."""
    assert reads(sql, engine) == (None, frozenset(), False)


@pytest.mark.parametrize(("engine", "sql"), cases(BEYOND))
def test_what_reads_elsewhere_depends_on_everything(engine: str, sql: str) -> None:
    """Intent: a change told of another database may be a change of what was read; a database's tag does not hold it."""
    assert reads(sql, engine) == (None, frozenset(), True)


PURE = [
    ("clickhouse", "SELECT number FROM numbers(10), d.a"), ("clickhouse", "SELECT regionToName(x) FROM d.a"),
    ("postgresql", "SELECT 1 FROM d.a, JSON_TABLE(a.x, '$' COLUMNS (y int PATH '$')) t"),
    ("mysql", "SELECT 1 FROM d.a, JSON_TABLE(a.x, '$' COLUMNS (y int PATH '$')) t"),
    ("oracle", "SELECT 1 FROM d.a, XMLTABLE('/x' PASSING a.x) t"), ("duckdb", "SELECT 1 FROM d.a, range(5) t"),
    ("pinot", "SELECT inIdSet(x, 'y') FROM d.a"), ("druid", "SELECT MV_FILTER_ONLY(x, ARRAY['a']) FROM d.a"),
    ("postgresql", "SELECT lookup_value, redis, url FROM d.a"), ("clickhouse", "SELECT file, s3 FROM d.a"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "sql"), PURE)
def test_what_reads_nothing_more_depends_on_its_table_alone(engine: str, sql: str) -> None:
    """Intent: only what changed; columns named like a function, and functions of their arguments, read nothing."""
    assert reads(sql, engine) == (frozenset({Table("d", "a")}), frozenset(), False)


WINDOWS = [
    ("trino", "SELECT 1 FROM pg.public.t", "pg", Table("public", "t")),
    ("trino", 'SELECT 1 FROM "PG"."public"."T$files"', "pg", Table("public", "t$files")),
    ("duckdb", "SELECT 1 FROM a JOIN pg.public.t ON true", "pg", Table("public", "t")),
    ("mssql", "SELECT 1 FROM srv.db.dbo.t", "srv.db", Table("dbo", "t")),
    ("oracle", "SELECT 1 FROM t@remote", "@remote", Table("", "t")),
    ("oracle", "SELECT 1 FROM s.t@remote.example.org b", "@remote.example.org", Table("s", "t")),
]


@pytest.mark.parametrize(("engine", "sql", "catalog", "table"), WINDOWS)
def test_catalogs_and_links_are_kept(engine: str, sql: str, catalog: str, table: Table) -> None:
    """Intent: a catalog may be a window onto another source, so that it must not be lost."""
    assert reads(sql, engine).windows == {Window(catalog, table)}
