"""Kinds of changes that decide who sees what: as SQL, by Superset's models, and by the API that its pages use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from testing import documents_changes
from testing.grants import World
from testing.grants_ways import Statements

Do = Callable[[], None]


@dataclass(frozen=True)
class Kind:
    """A change, and how it is undone.

    Attributes:
        who: the person whom it concerns.
        do, undo: statements, or calls of Superset.
    """

    name: str
    who: str
    do: Statements | Do
    undo: Statements | Do


def of_sql(world: World, who: str) -> list[Kind]:
    """What may be done past Superset that concerns somebody."""
    return [Kind(name, who, do, undo) for name, do, undo in _of(world, who)]


def _of(world: World, who: str) -> Iterator[tuple[str, Statements, Statements]]:
    t, own = world.datasets["t"], world.datasets["own"]
    yield from _of_everybody(world, t, own)
    if who == "guest":
        yield from _of_guests(world)
        return
    user, role = world.ids(who)
    yield "deactivated", *changed(world, "ab_user", "active", False, "id", user)
    yield "renamed", *changed(world, "ab_user", "username", f"{who} renamed", "id", user)
    yield "deleted", *taken(world, ("ab_user_role", "user_id", user), ("ab_user_group", "user_id", user),
                            ("sqlatable_user", "user_id", user), ("ab_user", "id", user))  # fmt: skip
    yield "role taken", *taken(world, ("ab_user_role", "user_id", user))
    yield "rights taken", *taken(world, ("ab_permission_view_role", "role_id", role))
    yield "rule added", *_rule(world, who, role, t)
    if who.startswith("p"):
        yield "ruled no more", *taken(world, ("rls_filter_roles", "role_id", role))
    if who == "grouped":
        yield "left the group", *taken(world, ("ab_user_group", "user_id", user))
        yield "group's role", *taken(world, ("ab_group_role", "role_id", role))
    if who == "owner":
        yield "owns no more", *taken(world, ("sqlatable_user", "user_id", user))
    if who == "reader":
        board = world.closed_id
        yield "board's roles", *taken(world, ("dashboard_roles", "dashboard_id", board))
        yield "board's other role", *changed(world, "dashboard_roles", "role_id", 1, "dashboard_id", board)
        yield "unpublished", *changed(world, "dashboards", "published", False, "id", board)
        yield "board's charts", *taken(world, ("dashboard_slices", "dashboard_id", board))
        yield "chart's dataset", *changed(world, "slices", "datasource_id", own, "id", world.chart_id)


def _of_everybody(world: World, t: int, own: int) -> Iterator[tuple[str, Statements, Statements]]:
    set_ = partial(changed, world)
    yield "metric", *set_("sql_metrics", "expression", "sum(v) + 1", "table_id", t)
    yield "column", *set_("table_columns", "expression", "upper(owner)", "column_name", "owner")
    yield "dataset", *set_("tables", "sql", "SELECT * FROM t WHERE v < 9", "id", t)
    yield "SQL", *set_("tables", "sql", "SELECT owner, v, at FROM t WHERE v < 5", "id", own)
    yield "table", *set_("tables", "table_name", "nowhere", "id", t)
    yield "schema", *set_("tables", "schema", "nowhere", "id", t)
    yield "right's name", *set_("tables", "perm", "[source].[else](id:77)", "id", t)
    yield "view menu", *set_("ab_view_menu", "name", "another", "name", world.perm)
    yield "permission", *set_("ab_permission", "name", "another", "name", "datasource_access")
    yield "impersonation", *set_("dbs", "impersonate_user", True, "id", world.source_id)
    yield "timeout", *set_("dbs", "cache_timeout", 7, "id", world.source_id)
    yield "clause", *set_("row_level_security_filters", "clause", "v < 30", "name", "of all")
    yield "base rule", *set_("row_level_security_filters", "filter_type", "Base", "name", "of all")
    yield "rule's tables", *taken(world, ("rls_filter_tables", "table_id", t))


def _of_guests(world: World) -> Iterator[tuple[str, Statements, Statements]]:
    _, role = world.ids(None, "guests")
    board = world.board_id
    yield "embedding", *taken(world, ("embedded_dashboards", "dashboard_id", board))
    other = "00000000-0000-4000-8000-000000000000"
    yield "embedded anew", *changed(world, "embedded_dashboards", "uuid", other, "dashboard_id", board)
    yield "guests' rights", *taken(world, ("ab_permission_view_role", "role_id", role))
    yield "chart taken", *taken(world, ("dashboard_slices", "dashboard_id", board))
    yield "guests' chart", *changed(world, "slices", "datasource_id", world.datasets["own"], "id", world.chart_id)


def taken(world: World, *places: tuple[str, str, Any]) -> tuple[Statements, Statements]:
    """Rows deleted, and put back as they are now."""
    do: list[tuple[str, tuple[Any, ...]]] = []
    undo: list[tuple[str, tuple[Any, ...]]] = []
    for table, column, value in places:
        ((rows,),) = world.sql(f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} t WHERE {column} = %s", value)
        do.append((f"DELETE FROM {table} WHERE {column} = %s", (value,)))
        back = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s) ON CONFLICT DO NOTHING"
        undo.insert(0, (back, (rows,)))
    # Whoever was killed has deleted nothing, and other ways may have put the same rows there under other numbers.
    return do, [*do, *undo]


def changed(world: World, table: str, column: str, value: Any, where: str, key: Any) -> tuple[Statements, Statements]:
    """A value changed, and set back to what it is now."""
    ((old,),) = world.sql(f"SELECT min({column}::text) FROM {table} WHERE {where} = %s", key)
    kind = world.kind_of(table, column)
    place = f"{where} = (SELECT CAST(%s AS {world.kind_of(table, where)}))"
    do = (f"UPDATE {table} SET {column} = CAST(%s AS {kind}) WHERE {place}", (value, key))
    back = (do[0], (old, value if where == column else key))
    return [do], [back]


def _rule(world: World, who: str, role: int, table: int) -> tuple[Statements, Statements]:
    number = 10_000 + role
    add = [
        ("INSERT INTO row_level_security_filters (id, name, filter_type, clause) VALUES (%s, %s, 'Regular', 'v < 20')",
         (number, f"of {who}")),
        ("INSERT INTO rls_filter_roles (id, role_id, rls_filter_id) VALUES (%s, %s, %s)", (number, role, number)),
        ("INSERT INTO rls_filter_tables (id, table_id, rls_filter_id) VALUES (%s, %s, %s)", (number, table, number)),
    ]  # fmt: skip
    tables = ("rls_filter_tables", "rls_filter_roles")
    gone = [(f"DELETE FROM {table} WHERE rls_filter_id = %s", (number,)) for table in tables]
    return add, [*gone, ("DELETE FROM row_level_security_filters WHERE id = %s", (number,))]


def of_models(world: World, who: str) -> list[Kind]:
    """What may be done by Superset's models, as its commands and other people's scripts do."""
    from flask_appbuilder.security.sqla.models import Group, Role, User
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable, SqlMetric
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard

    def kind(name: str, model: type, number: int, attribute: str, value: Any) -> Kind:
        kept: list[Any] = []
        return Kind(name, who, partial(_set, world, model, number, attribute, value, kept), partial(_back, world, kept))

    t = world.datasets["t"]
    ((rule,),) = world.sql("SELECT id FROM row_level_security_filters WHERE name = 'of all'")
    kinds = [
        kind("models: dataset", SqlaTable, t, "sql", "SELECT * FROM t WHERE v < 8"),
        kind("models: clause", RowLevelSecurityFilter, rule, "clause", "v < 40"),
        kind("models: rule's roles", RowLevelSecurityFilter, rule, "roles", []),
        kind("models: rule's tables", RowLevelSecurityFilter, rule, "tables", []),
        kind("models: impersonation", Database, world.source_id, "impersonate_user", True),
        kind("models: metric", SqlMetric, world.metric_id, "expression", "sum(v) + 2"),
    ]
    if who == "guest":
        return [*kinds, kind("models: embedding", Dashboard, world.board_id, "slices", [])]
    user, role = world.ids(who)
    kinds += [
        kind("models: deactivated", User, user, "active", False), kind("models: role taken", User, user, "roles", []),
        kind("models: rights taken", Role, role, "permissions", []),
    ]  # fmt: skip
    if who == "reader":
        kinds.append(kind("models: board's roles", Dashboard, world.closed_id, "roles", []))
        kinds.append(kind("models: unpublished", Dashboard, world.closed_id, "published", False))
    if who == "owner":
        kinds.append(kind("models: owns no more", SqlaTable, t, "owners", []))
    if who == "grouped":
        kinds.append(kind("models: group's role", Group, world.group_id, "roles", []))
        kinds.append(kind("models: left the group", User, user, "groups", []))
    return kinds


def _set(world: World, model: type, number: int, attribute: str, value: Any, kept: list[Any]) -> None:
    from superset.extensions import db

    with world.app.app_context():
        row = db.session.get(model, number)
        old = getattr(row, attribute)
        kept[:] = [model, number, attribute, [(type(one), one.id) for one in old] if isinstance(old, list) else old]
        setattr(row, attribute, value)
        db.session.commit()


def _back(world: World, kept: Sequence[Any]) -> None:
    from superset.extensions import db

    model, number, attribute, old = kept
    with world.app.app_context():
        value = [db.session.get(*one) for one in old] if isinstance(old, list) else old
        setattr(db.session.get(model, number), attribute, value)
        db.session.commit()


def of_pages(world: World, who: str) -> list[Kind]:
    """What may be done on Superset's pages, by the API that they use."""
    boss, t = world.client("boss"), world.datasets["t"]
    ((rule,),) = world.sql("SELECT id FROM row_level_security_filters WHERE name = 'of all'")

    def call(verb: str, path: str, change: Any) -> Do:
        def called() -> None:
            answer = getattr(boss, verb)(path, json=change)
            assert answer.status_code in (200, 201), (path, change, answer.status_code, answer.data)

        return called

    def kind(name: str, verb: str, path: str, do: Any, undo: Any) -> Kind:
        return Kind(f"pages: {name}", who, call(verb, path, do), call(verb, path, undo))

    kinds = [
        kind("clause", "put", f"/api/v1/rowlevelsecurity/{rule}", {"clause": "v < 50"}, {"clause": "v < 1000"}),
        kind("dataset", "put", f"/api/v1/dataset/{t}", {"sql": "SELECT * FROM t WHERE v < 7"}, {"sql": None}),
        kind("timeout", "put", f"/api/v1/database/{world.source_id}", {"cache_timeout": 9}, {"cache_timeout": None}),
    ]  # fmt: skip
    if who == "guest":
        charts = f"/api/v1/chart/{world.chart_id}"
        return [*kinds, kind("chart", "put", charts, {"dashboards": []}, {"dashboards": world.boards})]
    user, role = world.ids(who)
    perms = [row[0] for row in world.sql(
        "SELECT permission_view_id FROM ab_permission_view_role WHERE role_id = %s", role)]  # fmt: skip
    key = "permission_view_menu_ids"
    kinds += [
        kind("rights", "post", f"/api/v1/security/roles/{role}/permissions", {key: []}, {key: perms}),
        kind("active", "put", f"/api/v1/security/users/{user}", {"active": False}, {"active": True}),
    ]
    if who.startswith("p"):
        public = world.ids(None, "Public")[1]
        users = f"/api/v1/security/users/{user}"
        kinds.append(kind("role", "put", users, {"roles": [public]}, {"roles": [role]}))
    if who == "reader":
        board = f"/api/v1/dashboard/{world.closed_id}"
        kinds.append(kind("board's roles", "put", board, {"roles": []}, {"roles": [role]}))
        kinds.append(kind("published", "put", board, {"published": False}, {"published": True}))
    if who == "owner":
        kinds.append(kind("owners", "put", f"/api/v1/dataset/{t}", {"owners": [1]}, {"owners": [user]}))
    if who == "grouped":
        group = f"/api/v1/security/groups/{world.group_id}"
        kinds.append(kind("group", "put", group, {"roles": []}, {"roles": [role]}))
    return kinds


def of_documents(world: World, who: str) -> list[Kind]:
    """What may be done to the words of a dashboard's documents; `documents_site.prepare` has written it."""
    changes = documents_changes.changes(world) if who == "p1" else []
    return [Kind(f"documents: {change.name}", who, change.do, change.undo) for change in changes]
