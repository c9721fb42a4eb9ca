"""Whether the current user may run SQL of their own on a database, as SQL Lab would let them.

Everything here needs a request with its user. It lets nobody do what SQL Lab does not: who may run nothing there, or
not this statement, is refused, and so is what SQL Lab would change first (templates, row-level rules).
"""

from __future__ import annotations

from typing import Any

from superset_ext.errors import NotAllowed, PlanError, UnknownDatabase
from superset_ext.host.databases import database_apart, database_of, database_typed
from superset_ext.host.explaining import Asking, as_sent
from superset_ext.host.sql import parsed

_TEMPLATES = ("{{", "{%", "{#")
_NO_DATABASE = "there is no such database, or you may not run this there"


def own_sql(named: int | str, sql: str, schema: str | None) -> Asking:
    """One statement of the current user, and where it goes; it was not sent yet.

    Args:
        named: name or id of Superset's database.
        sql: one SELECT.
        schema: where names without one are looked up; `None` for the database's own.

    Raises:
        NotAllowed: SQL Lab would not run it for this user.
        PlanError: it is made of templates, or of another engine than PostgreSQL.
    """
    if any(mark in sql for mark in _TEMPLATES):
        raise PlanError("templates are not filled in here; give the SQL that they make")
    database = _exposed(named)
    _check_statement(database, sql, schema)
    apart = database_apart(database.id)
    if apart is None:
        raise NotAllowed(_NO_DATABASE)
    return Asking(apart, as_sent(apart, sql), schema=schema)


def is_admin() -> bool:
    """Whether the current user is an administrator."""
    from superset_ext.host.services import security_manager

    return bool(security_manager.is_admin())


def _exposed(named: int | str) -> Any:
    """The database, if this user may use SQL Lab and it is shown there."""
    from superset_ext.host.services import security_manager

    if not security_manager.can_access("can_execute_sql_query", "SQLLab"):
        raise NotAllowed("you may run no SQL of your own; that takes the role sql_lab")
    try:
        database = database_of(named) if isinstance(named, int) else database_typed(named)
    except UnknownDatabase:  # whose message lists names that this user may not know
        raise NotAllowed(_NO_DATABASE) from None
    if not database.expose_in_sqllab:
        raise NotAllowed(_NO_DATABASE)
    return database


def _check_statement(database: Any, sql: str, schema: str | None) -> None:
    from superset.exceptions import SupersetException

    from superset_ext.host.services import security_manager

    try:
        security_manager.raise_for_access(database=database, sql=sql, schema=schema)
    except SupersetException:
        raise NotAllowed(_NO_DATABASE) from None
    _check_config(database, sql)


def _check_config(database: Any, sql: str) -> None:
    """What Superset's settings say of SQL Lab: functions and tables that are closed, rules that are added."""
    from flask import current_app
    from superset import is_feature_enabled

    engine = database.db_engine_spec.engine
    script = parsed(sql, engine)
    functions = current_app.config["DISALLOWED_SQL_FUNCTIONS"].get(engine, set())
    tables = current_app.config["DISALLOWED_SQL_TABLES"].get(engine, set())
    if script is None or script.check_functions_present(functions) or script.check_tables_present(tables):
        raise NotAllowed("Superset's settings close a function or a table in it (DISALLOWED_SQL_FUNCTIONS, …_TABLES)")
    if is_feature_enabled("RLS_IN_SQLLAB") and not is_admin():
        raise NotAllowed("SQL Lab adds row-level rules here (RLS_IN_SQLLAB), so that only administrators may do this")
