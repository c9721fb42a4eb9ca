"""The log database's schema, on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from superset_ext.core.log_database import SQL, LogDatabase, log_url
from superset_ext.embedded.postgres import binary
from superset_ext.errors import LogUnavailable, SchemaError, SupersetExtError
from superset_ext.settings import load

FILES = sorted(path.name for path in (SQL / "schema").glob("*.sql"))


@pytest.fixture
def database(database_url: str) -> LogDatabase:
    return LogDatabase(database_url)


def test_each_file_is_applied_once_in_order(database: LogDatabase) -> None:
    """Intent: a second start finds everything done, and the list says what was."""
    assert database.apply_schema() == FILES
    assert database.apply_schema() == []
    applied = database.rows("SELECT file, length(checksum) AS size FROM schema_version ORDER BY applied_at, file")
    assert [(row["file"], row["size"]) for row in applied] == [(name, 64) for name in FILES]


def test_two_starters_at_once_do_not_collide(database_url: str) -> None:
    """Intent: web, worker and beat of several hosts may start in the same moment on an empty database."""
    databases = [LogDatabase(database_url) for _ in range(6)]
    gate, done, failed = threading.Barrier(len(databases)), [], []

    def start(database: LogDatabase) -> None:
        gate.wait()
        try:
            done.extend(database.apply_schema())
        except SupersetExtError as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(done) == FILES


def test_a_changed_file_is_an_error_that_says_so(database_url: str, tmp_path: Path) -> None:
    """Intent: what runs is what the repository holds, and the line names the file and the fix."""
    shutil.copytree(SQL, tmp_path / "sql")
    database = LogDatabase(database_url, tmp_path / "sql")
    database.apply_schema()
    with (tmp_path / "sql" / "schema" / FILES[1]).open("a") as file:
        file.write("-- changed\n")
    with pytest.raises(SchemaError, match=f"{FILES[1]} was changed after it was applied; restore it"):
        database.apply_schema()


def test_a_file_that_fails_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    """Intent: a file is applied whole or not at all, and the next start tries it again."""
    shutil.copytree(SQL, tmp_path / "sql")
    broken = tmp_path / "sql" / "schema" / "98_broken.sql"
    broken.write_text("CREATE TABLE superset_ext.half (n int);\nSELECT 1 / 0;\n")
    database = LogDatabase(database_url, tmp_path / "sql")
    with pytest.raises(SchemaError, match=r"98_broken\.sql could not be applied: division by zero"):
        database.apply_schema()
    assert database.rows("SELECT to_regclass('superset_ext.half') AS found") == [{"found": None}]
    broken.write_text("CREATE TABLE superset_ext.whole (n int);\n")
    assert database.apply_schema() == ["98_broken.sql"]


def test_an_unmounted_folder_is_said(database_url: str, tmp_path: Path) -> None:
    """Intent: whoever forgot to mount `sql` reads so."""
    database = LogDatabase(database_url, tmp_path)
    with pytest.raises(SchemaError, match="mount the package's folder sql"):
        database.apply_schema()
    with pytest.raises(SchemaError, match="mount the package's folder sql"):
        database.query("published_daily")


def test_each_file_runs_unchanged_in_psql(database_url: str) -> None:
    """Intent: an administrator may apply the files by hand, in any server time zone, even twice; a start
    after that only notes them."""
    for name in (*FILES, *FILES):
        done = subprocess.run(
            [binary("psql"), database_url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SQL / "schema" / name],
            env={**os.environ, "PGTZ": "Pacific/Kiritimati"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert LogDatabase(database_url).apply_schema() == FILES


def test_every_column_has_a_comment(database: LogDatabase) -> None:
    """Intent: the unit and meaning of each column can be read in the database itself."""
    database.apply_schema()
    missing = database.rows(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'superset_ext'::regnamespace AND NOT c.relispartition AND c.relkind IN ('r', 'p')"
        " AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL"
    )
    assert missing == []


DESIGN_DAILY = """\
SELECT DATE(created_at) as date, AVG(hit_ratio) as avg_hit_ratio, AVG(response_time) as avg_response_time, COUNT(*) as total_requests,
       SUM(cache_hits) as total_hits, SUM(cache_misses) as total_misses
FROM cache_performance_log WHERE created_at >= CURRENT_DATE - INTERVAL '7 days' GROUP BY DATE(created_at) ORDER BY date DESC;
"""  # noqa: E501
DESIGN_BY_TYPE = """\
SELECT cache_type, COUNT(*) as total_requests, AVG(hit_ratio) as avg_hit_ratio, AVG(response_time) as avg_response_time, MAX(memory_usage) as peak_memory_usage
FROM cache_performance_log WHERE created_at >= CURRENT_DATE - INTERVAL '1 day' GROUP BY cache_type ORDER BY avg_hit_ratio DESC;
"""  # noqa: E501


def test_the_published_queries_are_as_published(database: LogDatabase) -> None:
    """Intent: the two queries that were published run word for word, and give one row for a day and a type."""
    assert (SQL / "queries" / "published_daily.sql").read_text() == DESIGN_DAILY
    assert (SQL / "queries" / "published_by_type.sql").read_text() == DESIGN_BY_TYPE
    database.apply_schema()
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type, cache_hits,"
            " cache_misses, response_count, response_ms_sum, memory_usage) VALUES"
            " (now(), 5, 'a', 1, gen_random_uuid(), 'chart_data', 3, 1, 4, 100, 7),"
            " (now(), 5, 'a', 1, gen_random_uuid(), 'chart_data', 1, 1, 2, 20, 9),"
            " (now(), 5, 'a', 1, gen_random_uuid(), 'metadata', 0, 0, 0, 0, NULL)"
        )
    daily = database.query("published_daily")
    assert [(r["total_requests"], r["total_hits"], r["total_misses"]) for r in daily] == [(3, 4, 2)]
    assert daily[0]["avg_hit_ratio"] == pytest.approx(0.625)
    assert daily[0]["avg_response_time"] == pytest.approx(17.5)
    by_type = database.query("published_by_type")
    assert [(r["cache_type"], r["total_requests"], r["peak_memory_usage"]) for r in by_type] == [
        ("metadata", 1, None),
        ("chart_data", 2, 9),
    ]


def test_a_server_that_is_away_is_one_line_with_the_fix_and_no_password(postgres: object) -> None:
    """Intent: the message can be logged as it is."""
    database = LogDatabase("postgresql://someone:hush@127.0.0.1:1/log")
    with pytest.raises(LogUnavailable, match="SUPERSET_EXT_LOG_DATABASE_URL") as raised:
        database.rows("SELECT 1")
    assert "hush" not in str(raised.value) and "\n" not in str(raised.value)
    assert raised.value.cause == "OperationalError"


def test_a_missing_table_names_the_command(database: LogDatabase) -> None:
    """Intent: a log database without our tables says how it gets them."""
    with pytest.raises(LogUnavailable, match="run: superset perf upgrade"):
        database.rows("SELECT 1 FROM superset_ext.cache_performance_log")


@pytest.mark.parametrize(
    ("own", "metadata", "expected"),
    [
        ("postgresql://h/log", "mysql://h/db", "postgresql://h/log"),
        ("", "postgresql+psycopg2://h/db", "postgresql+psycopg2://h/db"),
        ("", "sqlite:////tmp/superset.db", None),
        ("", "no url", None),
    ],
)
def test_which_database_is_the_log(own: str, metadata: str, expected: str | None) -> None:
    """Intent: the one that is set, else Superset's own where that is PostgreSQL, else none."""
    assert log_url(load({"SUPERSET_EXT_LOG_DATABASE_URL": own}), metadata) == expected


def test_no_file_needs_a_later_postgresql_than_14() -> None:
    """Intent: PostgreSQL 14 has no MERGE, no NULLS NOT DISTINCT, no virtual columns, and no least or largest xid8."""
    texts = {path: path.read_text() for path in SQL.rglob("*.sql")}
    numbers = set(re.findall(r"^\s+(\w+) xid8\b", "\n".join(texts.values()), re.M))
    newer = rf"\bMERGE INTO\b|NULLS NOT DISTINCT|\bVIRTUAL\b|\b(max|min)\((\w+\.)?({'|'.join(numbers)})\)"
    assert {"xid", "oldest"} <= numbers
    assert {path.name: match[0] for path, text in texts.items() if (match := re.search(newer, text))} == {}
