"""Marks of what is done, as comments of the databases in which it was done, so that no mark outlives its database."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from psycopg2 import sql

import superset_ext
from superset_ext.embedded.stack import ENTRYPOINT, METADATA, ROOT, Stack
from superset_ext.errors import StackError


def mark(stack: Stack, name: str) -> str:
    """The mark of a database, `""` where it has none."""
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    return str(_value(stack, name, query) or "")


def set_mark(stack: Stack, name: str, text: str) -> None:
    """Mark a database."""
    with closing(psycopg2.connect(stack.postgres.url(name))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text)))


def wanted_mark(stack: Stack) -> str:
    """The mark of a metadata database that is set up: all that the set-up depends on, and the database's revision.

    Where somebody has moved the revision, the set-up runs anew.
    """
    parts = [version("apache-superset"), superset_ext.__version__, *migrations(), ENTRYPOINT.read_text()]
    parts += [path.read_text() for path in applied_files()]
    return f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]} at revision {_revision(stack)}"


def applied_files() -> list[Path]:
    """The files that the set-up applies: SQL, dashboards, and the names of the tables that have triggers."""
    sql = [path for path in (ROOT / "sql").rglob("*.sql") if path.parent.name != "queries"]
    dashboards = (ROOT / "superset_ext/monitor/dashboards/assets").rglob("*.yaml")
    return sorted([*sql, *dashboards, ROOT / "superset_ext/grants/tables.py"])


@lru_cache(maxsize=1)
def migrations() -> list[str]:
    """The names of Superset's migrations."""
    return sorted(path.name for path in package_folder("superset").glob("migrations/versions/*.py"))


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported: importing Superset takes nine seconds.

    Raises:
        StackError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"{name} is not installed; delete .venv and run: make up")
    return Path(spec.submodule_search_locations[0])


def _revision(stack: Stack) -> str:
    if not _value(stack, METADATA, "SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version'"):
        return "none"
    return str(_value(stack, METADATA, "SELECT string_agg(version_num, ',') FROM alembic_version"))


def _value(stack: Stack, name: str, query: str) -> object:
    """The first value of a query, `None` for no row."""
    with closing(psycopg2.connect(stack.postgres.url(name))) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
        return row[0] if row else None
