"""Rights and row-level rules of the current user while a key is made, in as few statements as tell them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from superset_ext.host.moment import Memory, memory_of_key, once, remembering, rights_once

_RIGHTS = ("database_access", "datasource_access", "schema_access", "catalog_access")


def names_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `user_view_menu_names`: the four kinds that the filter of a list asks for come in one statement."""
    single = rights_once(stock)

    @wraps(stock)
    def user_view_menu_names(self: Any, permission_name: str) -> set[str]:
        from flask import g

        memory = remembering()
        if memory is None or permission_name not in _RIGHTS or g.user.is_anonymous:
            names: set[str] = single(self, permission_name)
            return names
        key = ("names", memory.user())
        if key not in memory.answers:
            memory.answers[key] = _names(self)
        answer: set[str] = memory.answers[key][permission_name]
        return answer

    return user_view_menu_names


def _names(manager: Any) -> dict[str, set[str]]:
    """What the current user's roles, their own and those of their groups, open, by the kind of right."""
    from superset_ext.host.services import get_user_id

    names: dict[str, set[str]] = {kind: set() for kind in _RIGHTS}
    for kind, name in manager.session.execute(_names_statement(), {"user": get_user_id()}):
        names[kind].add(name)
    return names


@cache
def _names_statement() -> Any:
    """Made once: SQLAlchemy takes longer to put it together than the database takes to answer it."""
    from flask_appbuilder.security.sqla.models import (
        Permission,
        PermissionView,
        ViewMenu,
        assoc_group_role,
        assoc_permissionview_role,
        assoc_user_group,
        assoc_user_role,
    )
    from sqlalchemy import bindparam, select

    user, roles = bindparam("user"), assoc_permissionview_role.c.role_id
    own = select(assoc_user_role.c.role_id).where(assoc_user_role.c.user_id == user)
    of_groups = (
        select(assoc_group_role.c.role_id)
        .join(assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id)
        .where(assoc_user_group.c.user_id == user)
    )
    pairs = PermissionView.__table__
    return (
        select(Permission.__table__.c.name, ViewMenu.__table__.c.name)
        .select_from(pairs)
        .join(Permission.__table__, pairs.c.permission_id == Permission.__table__.c.id)
        .join(ViewMenu.__table__, pairs.c.view_menu_id == ViewMenu.__table__.c.id)
        .join(assoc_permissionview_role, assoc_permissionview_role.c.permission_view_id == pairs.c.id)
        .where(Permission.__table__.c.name.in_(_RIGHTS))
        .where(roles.in_(own) | roles.in_(of_groups))
    )


def rules_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `get_rls_filters`: most datasets have no rule, and one statement says which have."""

    @wraps(stock)
    def get_rls_filters(self: Any, table: Any) -> Any:
        memory = memory_of_key()
        if memory is None or any(number == table.id for number, _ in _ruled(memory)):
            return stock(self, table)
        return []

    return get_rls_filters


def predicates_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `get_predicates_for_table`: only a table of which a dataset has a rule is looked up, and any by a guest."""
    asked = once(stock)

    @wraps(stock)
    def get_predicates_for_table(table: Any, database: Any, default_catalog: str | None) -> list[str]:
        from superset_ext.host.services import security_manager

        memory = memory_of_key()
        if memory is None or security_manager.is_guest_user():
            return list(asked(table, database, default_catalog))
        ruled = any(name == (database.id, table.table) for _, name in _ruled(memory))
        return list(asked(table, database, default_catalog)) if ruled else []

    return get_predicates_for_table


def _ruled(memory: Memory) -> list[tuple[int, tuple[int, str]]]:
    """The datasets with row-level rules: id, and the id of the database with the name of the table."""
    from superset_ext.host.models import db

    if "ruled" not in memory.answers:
        rows = db.session.execute(_ruled_statement())
        memory.answers["ruled"] = [(number, (database, name)) for number, database, name in rows]
    ruled: list[tuple[int, tuple[int, str]]] = memory.answers["ruled"]
    return ruled


@cache
def _ruled_statement() -> Any:
    from sqlalchemy import select
    from superset.connectors.sqla.models import RLSFilterTables

    from superset_ext.host.models import SqlaTable

    tables = SqlaTable.__table__
    columns = tables.c.id, tables.c.database_id, tables.c.table_name
    return select(*columns).join(RLSFilterTables, RLSFilterTables.c.table_id == tables.c.id)
