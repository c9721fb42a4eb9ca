"""What sqlglot logs of statements that it does not understand."""

from __future__ import annotations

import logging

import pytest

from superset_ext.host.sql import parsed
from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.statement import MESSAGE
from superset_ext.sqltables.writes import written_tables

STATEMENTS = [
    ("postgresql", "ALTER USER a PASSWORD 'hush'"),
    ("postgresql", "CREATE USER MAPPING FOR a SERVER b OPTIONS (password 'hush')"),
    ("mysql", "ALTER USER a IDENTIFIED BY 'hush'"),
    ("mysql", "SELECT JSON_EXTRACT(a, '$.hush[[') FROM t"),
    ("snowflake", "CREATE STAGE s URL='s3://b' CREDENTIALS=(AWS_KEY_ID='hush')"),
    ("bigquery", "SELECT JSON_VALUE(a, '$.hush[[') FROM t"),
    ("postgresql", "COPY t FROM PROGRAM 'hush' WITH (FORMAT csv, hush)"),
]


@pytest.mark.parametrize(("engine", "sql"), STATEMENTS)
def test_what_this_package_parses_is_in_no_log(engine: str, sql: str, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: a password in a statement that sqlglot takes for a command is not repeated in the web log."""
    with caplog.at_level(logging.DEBUG):
        read_tables(sql, engine)
        written_tables(sql, engine)
        parsed(sql, engine)
        normalised(sql, engine)
    assert [record for record in caplog.records if record.name.startswith("sqlglot")] == []
    assert "hush" not in caplog.text


def test_what_superset_parses_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """Intent: Superset parses the same statement, and its warning would repeat the password beside ours."""
    from superset.sql.parse import SQLScript

    with caplog.at_level(logging.DEBUG):
        SQLScript("CREATE USER MAPPING FOR a SERVER b OPTIONS (password 'hush')", "postgresql")
    assert MESSAGE in caplog.text
    assert "hush" not in caplog.text
