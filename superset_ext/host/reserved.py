"""The performance database is closed to those who may read it only because they may read everything.

Its charts name queries, tables and people's dashboards. Superset has no right that takes one database out of
`all_database_access` and `all_datasource_access`, which Alpha has. So the checks of its security manager and the
filters of its lists are wrapped: for this one database, and these users, the two rights count for nothing, owning a
dataset on it opens no rows, and no SQL runs on it.

It stays open to Admin, to roles that the row-level rule of the dashboards names, and to whoever has a right on this
very database, such as the role `Performance viewer`. Rights on anything else stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from superset_ext.host.moment import keep_rights, moment

DATABASE_UUID = "b24f23c2-0bca-595a-96b7-0f2cc2cd52f6"
RULE = "Performance log: rows for Admin and Performance viewer alone"
_RIGHTS = ("datasource_access", "database_access", "schema_access", "catalog_access")
_REFUSAL = "The performance log is open to Admin and to the role Performance viewer; ask an administrator for the role"
_Stock = Callable[..., Any]


def right(stock: _Stock) -> _Stock:
    """Wraps a check of the security manager that takes a database, or a datasource of one, first."""

    @wraps(stock)
    def may(self: Any, thing: Any, *more: Any, **named: Any) -> bool:
        return bool(stock(self, thing, *more, **named)) and not _is_closed(
            self, getattr(thing, "database", None) or thing
        )

    return may


def access(stock: _Stock) -> _Stock:
    """Wraps `raise_for_access`."""

    @wraps(stock)
    def raise_for_access(self: Any, *things: Any, **named: Any) -> None:
        given = dict(
            zip(("dashboard", "chart", "database", "datasource", "query", "query_context"), things, strict=False)
        )
        with moment(is_key=False):
            _refuse(self, given | named)
            stock(self, *things, **named)
            if named.get("query_context") is not None:
                keep_rights(named["query_context"])

    return raise_for_access


def listed(stock: _Stock) -> _Stock:
    """Wraps `apply` of the filter of a list of databases, datasets or charts."""

    @wraps(stock)
    def apply(self: Any, query: Any, value: Any) -> Any:
        hidden = _hidden()
        query = stock(self, query, value)
        return query if hidden is None else query.filter(_not_of(self.model, hidden))

    return apply


def reached(stock: _Stock) -> _Stock:
    """Wraps `get_dataset_access_filters` for the list of dashboards: the datasets through which one is reached."""

    @wraps(stock)
    def get_dataset_access_filters(base_model: Any, *args: Any) -> Any:
        from superset_ext.host.models import SqlaTable

        hidden = _hidden()
        readable = stock(base_model, *args)
        return readable if hidden is None else readable & (SqlaTable.database_id != hidden)

    return get_dataset_access_filters


def _refuse(manager: Any, given: dict[str, Any]) -> None:
    """Refuse SQL and tables on the closed database, and the rows of a dataset that is only somebody's own."""
    holder = given.get("query_context") or given.get("viz")
    datasource = given.get("datasource") or getattr(holder, "datasource", None)
    database = given.get("database") or getattr(given.get("query"), "database", None)
    owned = getattr(datasource, "database", None)
    if _is_closed(manager, database) or (_is_closed(manager, owned) and manager.is_owner(datasource)):
        _raise()


def _raise() -> None:
    from superset.errors import ErrorLevel, SupersetError, SupersetErrorType
    from superset.exceptions import SupersetSecurityException

    kind = SupersetErrorType.DATABASE_SECURITY_ACCESS_ERROR
    raise SupersetSecurityException(SupersetError(message=_REFUSAL, error_type=kind, level=ErrorLevel.WARNING))


def _is_closed(manager: Any, database: Any) -> bool:
    """Whether this is the performance database, and closed to the current user."""
    return str(getattr(database, "uuid", "")) == DATABASE_UUID and not _is_open(manager, database.database_name)


def _hidden() -> int | None:
    """Id of the performance database where the current user would see it only because they may read everything."""
    from superset_ext.host.models import Database, db
    from superset_ext.host.services import security_manager

    if security_manager.is_admin() or not security_manager.can_access_all_datasources():
        return None
    ours = db.session.query(Database.id, Database.database_name).filter(Database.uuid == DATABASE_UUID).first()
    return None if ours is None or _is_open(security_manager, ours.database_name) else int(ours.id)


def _is_open(manager: Any, database_name: str) -> bool:
    """Whether the current user may see the performance database; a guest sees what stock shows it."""
    if manager.is_admin() or manager.is_guest_user():
        return True
    rights = (name for right in _RIGHTS for name in manager.user_view_menu_names(right))
    return any(name.startswith(f"[{database_name}].") for name in rights) or _is_in_rule(manager)


def _is_in_rule(manager: Any) -> bool:
    from superset_ext.host.models import RowLevelSecurityFilter, db

    rule = db.session.query(RowLevelSecurityFilter).filter_by(name=RULE).first()
    mine = {role.id for role in manager.get_user_roles()}
    return rule is not None and any(role.id in mine for role in rule.roles)


def _not_of(model: Any, database_id: int) -> Any:
    """What is not of this database; what a person owns stays in their lists."""
    from superset_ext.host.models import Database, Slice, SqlaTable, db
    from superset_ext.host.services import get_user_id

    if model is Database:
        return Database.id != database_id
    mine = model.owners.any(id=get_user_id())
    if model is SqlaTable:
        return (SqlaTable.database_id != database_id) | mine
    datasets = db.session.query(SqlaTable.id).filter(SqlaTable.database_id == database_id)
    return (Slice.datasource_type != "table") | Slice.datasource_id.notin_(datasets) | mine
