"""What may be done past Superset to somebody, or to what documents of a dashboard say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testing.grants import World

Statements = Sequence[tuple[str, tuple[Any, ...]]]


@dataclass(frozen=True)
class Change:
    """Something that is done past Superset, and undone.

    Attributes:
        documents: those whose words or status it changes for p1, `None` for all.
    """

    name: str
    do: Statements
    undo: Statements
    documents: frozenset[str] | None = None


def changes(world: World) -> list[Change]:
    """What may be done to p1, or to what p1 sees."""
    mine = "(SELECT id FROM ab_user WHERE username = 'p1')"
    role = "(SELECT id FROM ab_role WHERE name = 'of p1')"
    board, chart, dataset = world.board_id, world.chart_id, world.datasets["t"]
    perms = [
        row[0] for row in world.sql(f"SELECT permission_view_id FROM ab_permission_view_role WHERE role_id = {role}")
    ]
    give = (
        "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) SELECT "
        f"nextval('ab_permission_view_role_id_seq'), pv, {role} FROM unnest(%s::int[]) AS p(pv) ON CONFLICT DO NOTHING"
    )
    join = (
        "INSERT INTO ab_user_role (id, user_id, role_id) "
        f"VALUES (nextval('ab_user_role_id_seq'), {mine}, {role}) ON CONFLICT DO NOTHING"
    )
    star = (
        "INSERT INTO favstar (id, user_id, class_name, obj_id, uuid) VALUES "
        f"((SELECT coalesce(max(id), 0) + 1 FROM favstar), {mine}, %s, %s, gen_random_uuid())"
    )
    unstar = f"DELETE FROM favstar WHERE user_id = {mine}"

    def swap(table: str, column: str, new: Any, where: str, *documents: str) -> Change:
        ((old,),) = world.sql(f"SELECT {column} FROM {table} WHERE {where}")
        text = f"UPDATE {table} SET {column} = %s WHERE {where}"
        return Change(f"{table}.{column}", [(text, (new,))], [(text, (old,))], frozenset(documents))

    return [
        Change("deactivated", [(f"UPDATE ab_user SET active = false WHERE id = {mine}", ())],
               [(f"UPDATE ab_user SET active = true WHERE id = {mine}", ())]),
        Change("role taken", [(f"DELETE FROM ab_user_role WHERE user_id = {mine}", ())], [(join, ())]),
        Change("rights taken", [(f"DELETE FROM ab_permission_view_role WHERE role_id = {role}", ())],
               [(give, (perms,))]),
        swap("dashboards", "dashboard_title", "another", f"id = {board}", "dashboard"),
        swap("dashboards", "published", False, f"id = {board}", "dashboard", "charts", "datasets", "tabs",
             "dashboard favourite"),
        swap("dashboards", "changed_on", "2020-01-01", f"id = {board}", "dashboard"),
        swap("dashboards", "json_metadata", '{"shared_label_colors": ["a"]}', f"id = {board}", "dashboard"),
        swap("slices", "slice_name", "another", f"id = {chart}", "dashboard", "charts"),
        swap("tables", "main_dttm_col", "at", f"id = {dataset}", "datasets"),
        swap("table_columns", "verbose_name", "whose", f"table_id = {dataset} AND column_name = 'owner'", "drill_info"),
        swap("dbs", "database_name", "another", f"id = {world.source_id}", "databases", "datasets"),
        swap("dbs", "allow_file_upload", True, f"id = {world.source_id}", "databases"),
        swap("tag", "name", "new", "type = 'custom'", "dashboard"),
        swap("themes", "json_data", '{"a": 1}', "theme_name = 'plain'", "dashboard"),
        swap("css_templates", "css", ".b {}", "template_name = 'red'", "css"),
        swap("embedded_dashboards", "allow_domain_list", "https://a.example", f"dashboard_id = {board}", "embedded"),
        swap("ab_user", "first_name", "Another", "username = 'p3'", "dashboard"),
        Change("starred", [(star, ("Dashboard", board)), (star, ("slice", chart))], [(unstar, ())],
               frozenset({"dashboard favourite", "chart favourite"})),
        Change("untagged", [("UPDATE tagged_object SET object_id = -abs(object_id)", ())],
               [("UPDATE tagged_object SET object_id = abs(object_id)", ())],
               frozenset({"dashboard"})),
    ]  # fmt: skip
