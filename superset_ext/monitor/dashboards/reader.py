"""The SELECT-only role that the built-in dashboards read the log with.

Superset's metadata database holds `ab_user`, and is the log database where no other is set. So the
dashboards connect as a role that sees the schema `superset_ext` alone, and of it the views that
are made for them.
"""

from __future__ import annotations

import secrets
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

from superset_ext.core.log_database import CONNECT, LogDatabase
from superset_ext.core.schema import SCHEMA, SCHEMA_SECONDS
from superset_ext.errors import LogUnavailable, SupersetExtError
from superset_ext.settings import PREFIX

ROLE = "superset_ext_reader"
# Not what they are put together from, which would let a chart compute all of it anew.
VIEWS = "^perf_(?!.*_(live|past|recent)$)"
# Reading is all that it is for, and a chart that nobody waits for any more ends.
OPTIONS = {"default_transaction_read_only": "on", "timezone": "UTC", "statement_timeout": "30s"}
_NAME_LIMIT = 63
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.reader', 0))"
_VIEWS = """
SELECT relation.relname FROM pg_class relation
WHERE relation.relnamespace = 'superset_ext'::regnamespace AND relation.relkind IN ('m', 'v')
    AND relation.relname ~ %s AND pg_has_role(current_user, relation.relowner, 'MEMBER')
ORDER BY 1
"""
_UNREADABLE = """
SELECT relation.relname AS name FROM pg_class relation LEFT JOIN pg_roles role ON role.rolname = %s
WHERE relation.relnamespace = 'superset_ext'::regnamespace AND relation.relkind IN ('m', 'v') AND relation.relname ~ %s
    AND (has_schema_privilege(role.oid, relation.relnamespace, 'USAGE')
        AND has_table_privilege(role.oid, relation.oid, 'SELECT')) IS NOT TRUE
ORDER BY 1
"""


class ReaderError(SupersetExtError):
    """The role that the dashboards read with cannot be made."""


def ensure(database: LogDatabase, log_url: str, given: str | None = None, known: str | None = None) -> str:
    """A URL whose role may read the views and nothing else of ours; the role is made where it is not there.

    Its password is random and kept nowhere but in Superset's own, encrypted, database entry: where that is lost,
    a new one is set.

    Args:
        log_url: the log database's URL, whose host and name the reader's has too.
        given: the administrator's own URL of a role, which is taken as it is.
        known: the URL that Superset has now, kept while it works and is of the log database.

    Raises:
        ReaderError: the role may not be made.
        LogUnavailable: the log database does not answer.
    """
    if given:
        grant(database, make_url(given).username or "")
        return given
    role = role_name(database)
    if known and make_url(known).username == role and _place(known) == _place(log_url) and connects(known):
        grant(database, role)
        return known
    password = secrets.token_urlsafe(32)
    _make(database, role, password)
    grant(database, role)
    return str(make_url(log_url).set(username=role, password=password).render_as_string(hide_password=False))


def _place(url: str) -> tuple[str | None, int | None, str | None]:
    """Which database a URL is of; the log may have been moved since the role was made."""
    parts = make_url(url)
    return parts.host, parts.port, parts.database


def role_name(database: LogDatabase) -> str:
    """One role a log database, since roles belong to the whole server and its databases may be of several stacks."""
    return f"{ROLE}_{database.rows('SELECT current_database() AS name')[0]['name']}"[:_NAME_LIMIT]


def grant(database: LogDatabase, role: str) -> None:
    """Let a role read the views that there are; a view that was made anew has to be granted anew.

    Raises:
        ReaderError: there is no such role.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            raise ReaderError(f"there is no role {role!r}; make it, or mend {PREFIX}READER_URL")
        for privilege, thing in _granted(cursor):
            cursor.execute(sql.SQL("GRANT {} ON {} TO {}").format(privilege, thing, sql.Identifier(role)))


def drop(database: LogDatabase) -> bool:
    """Drop the role that `ensure` made, with what was granted to it; whether there was one.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    role = role_name(database)
    with database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            return False
        for privilege, thing in _granted(cursor):
            cursor.execute(sql.SQL("REVOKE {} ON {} FROM {}").format(privilege, thing, sql.Identifier(role)))
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        return True


def _granted(cursor: Any) -> list[tuple[sql.SQL, sql.Composed]]:
    """What the reader is granted: privileges, and on what."""
    cursor.execute(_VIEWS, (VIEWS,))
    views = [sql.SQL("superset_ext.{}").format(sql.Identifier(name)) for (name,) in cursor.fetchall()]
    schema = sql.SQL("SCHEMA {}").format(sql.Identifier(SCHEMA))
    return [(sql.SQL("USAGE"), schema), *((sql.SQL("SELECT"), view) for view in views)]


def connects(url: str) -> bool:
    """Whether a URL's role can log in."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg2.connect(plain, **CONNECT).close()
    except psycopg2.OperationalError:
        return False
    return True


def unreadable(database: LogDatabase, url: str) -> list[str]:
    """The log's views that a URL's role may not read; all of them where the log database has no such role.

    Raises:
        LogUnavailable: see `LogDatabase.rows`.
    """
    rows = database.rows(_UNREADABLE, (make_url(url).username, VIEWS))
    return [str(row["name"]) for row in rows]


def _make(database: LogDatabase, role: str, password: str) -> None:
    try:
        with database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_LOCK)
            _create_or_alter(cursor, role, password)
    except LogUnavailable as error:
        if error.sqlstate != "42501":
            raise
        raise ReaderError(
            f"the log database's role may not make the role {role!r}, which the dashboards read with. Have an"
            f" administrator run: CREATE ROLE \"{role}\" LOGIN PASSWORD '…'. Then set {PREFIX}READER_URL to the log"
            " database's URL with that role and password, and run again: superset perf upgrade"
        ) from None


def _create_or_alter(cursor: Any, role: str, password: str) -> None:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
    verb = sql.SQL("CREATE" if cursor.fetchone() is None else "ALTER")
    named = sql.Identifier(role)
    cursor.execute(sql.SQL("{} ROLE {} LOGIN NOINHERIT PASSWORD {}").format(verb, named, sql.Literal(password)))
    for name, value in OPTIONS.items():
        cursor.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(named, sql.Identifier(name), sql.Literal(value)))
