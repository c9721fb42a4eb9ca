"""The documents that a dashboard's opening asks for, asked with grants and without, while what they say changes.

Runs in a process with a Superset app (see `testing/superset_app.py`). The same app with its grants switched off is the
oracle: its status is the right one, and an answer of 304 stands for bytes that it would give now.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from testing.event_log import flush
from testing.grants import World, timeless
from testing.grants_changes import run

PERMISSIONS = (
    ("can_read", "Dashboard"), ("can_read", "Dataset"), ("can_read", "Database"), ("can_read", "CssTemplate"),
    ("can_get_drill_info", "Dataset"), ("can_drill", "Dashboard"), ("can_read", "EmbeddedDashboard"),
    ("can_write", "Dashboard"),
)  # fmt: skip
KINDS = (
    "dashboard", "charts", "datasets", "tabs", "dashboard favourite", "chart favourite", "drill_info", "databases",
    "upload", "css", "embedded",
)  # fmt: skip
Statements = Sequence[tuple[str, tuple[Any, ...]]]
_SECONDS_AGO = re.compile(r'"(now|a second ago|\d+ seconds ago)"')


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


def paths(world: World, board: int | None = None) -> dict[str, str]:
    """The path of each kind of document, of one dashboard."""
    board, chart, dataset = board or world.board_id, world.chart_id, world.datasets["t"]
    return {
        "dashboard": f"/api/v1/dashboard/{board}",
        "charts": f"/api/v1/dashboard/{board}/charts",
        "datasets": f"/api/v1/dashboard/{board}/datasets",
        "tabs": f"/api/v1/dashboard/{board}/tabs",
        "dashboard favourite": f"/api/v1/dashboard/favorite_status/?q=!({board})",
        "chart favourite": f"/api/v1/chart/favorite_status/?q=!({chart})",
        "drill_info": f"/api/v1/dataset/{dataset}/drill_info/?q=(dashboard_id:{board})",
        "databases": "/api/v1/database/?q=(filters:!((col:database_name,opr:neq,value:examples)))",
        "upload": "/api/v1/database/?q=(filters:!((col:allow_file_upload,opr:upload_is_enabled,value:!t)))",
        "css": "/api/v1/css_template/?q=(columns:!(template_name,css,id))",
        "embedded": f"/api/v1/embedded_dashboard/{world.embedded_id}",
    }


def prepare(world: World, people: Sequence[str] = ("p1", "p2")) -> None:
    """Give people what the pages of a dashboard need, and the dashboard what its documents may say."""
    from superset.extensions import db, security_manager
    from superset.models.core import CssTemplate, Theme
    from superset.models.dashboard import Dashboard
    from superset.tags.models import Tag, TaggedObject

    # The models say of each kind of tagged object that it is every kind; Superset's migrations do not.
    for (name,) in world.sql("SELECT conname FROM pg_constraint WHERE conname LIKE 'tagged_object_object_id%%'"):
        world.sql(f"ALTER TABLE tagged_object DROP CONSTRAINT {name}")
    with world.app.app_context():
        perms = [security_manager.add_permission_view_menu(*pair) for pair in PERMISSIONS]
        for name in ("guests", *(f"of {one}" for one in people)):
            role = security_manager.find_role(name)
            role.permissions = [*role.permissions, *perms]
        board = db.session.get(Dashboard, world.board_id)
        board.owners = [security_manager.find_user("p3")]
        board.theme = Theme(theme_name="plain", json_data="{}")
        tag = Tag(name="old", type="custom")
        db.session.add_all([CssTemplate(template_name="red", css=".a {}"), tag])
        db.session.flush()
        db.session.add(TaggedObject(tag_id=tag.id, object_id=board.id, object_type="dashboard"))
        db.session.commit()
    age(world)


def age(world: World) -> None:
    """Have everything be as long ago as it will be said to be for hours to come, whenever this runs."""
    long_ago = datetime.now() - timedelta(hours=30)
    for table in ("dashboards", "tables", "dbs", "slices", "css_templates", "embedded_dashboards"):
        world.sql(f"UPDATE {table} SET changed_on = %s, created_on = %s", long_ago, long_ago)


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


@dataclass(frozen=True)
class Told:
    """An answer: its status, words and ETag."""

    status: int
    words: Any
    etag: str | None


def ask(client: Any, path: str, etag: str | None = None, **headers: str) -> Told:
    """Ask for a document, as a browser that has one with this ETag."""
    more = headers | ({"If-None-Match": etag} if etag else {})
    answer = client.get(path, headers=more)
    return Told(answer.status_code, answer.get_json(silent=True), answer.headers.get("ETag"))


def granted(world: World, client: Any, path: str) -> Told:
    """A document that was given again; it was asked for as often as that takes."""
    hooks = world.grants.hooks
    for _ in range(6):
        before = hooks.given
        answer = ask(client, path)
        if hooks.given > before:
            return answer
    raise AssertionError(f"{path} is never granted: {hooks.refused}, {answer}")


def _aged(answer: Told) -> tuple[int, str]:
    """A status and words, in which what is said to be seconds ago is a moment ago: a slow machine may take a second
    between two answers."""
    return answer.status, _SECONDS_AGO.sub('"a moment ago"', json.dumps(answer.words))


def wrong(world: World, client: Any, path: str, old: Told) -> str | None:
    """What is wrong with what somebody is told now who has an old answer; `None` where the oracle says the same."""
    plain, conditional = ask(client, path), ask(client, path, old.etag)
    with world.off():
        expected = ask(client, path, old.etag)
    if _aged(plain) != _aged(expected):
        return f"{plain} without a condition, where Superset says {expected}"
    if conditional.status == 304:
        is_old = _aged(expected) == (200, _aged(old)[1])
        return None if is_old else f"304, where Superset says {expected}"
    if _aged(conditional) != _aged(expected):
        return f"{conditional} with a condition, where Superset says {expected}"
    return None


def changed(world: World, names: Mapping[str, str], client: Any, change: Change, *, and_undone: bool) -> dict[str, Any]:
    """What a change does to documents: those with a wrong answer, and those whose words or status it changed."""
    olds = {name: granted(world, client, path) for name, path in names.items()}
    run(world, list(change.do))
    wrongs = {name: why for name, path in names.items() if (why := wrong(world, client, path, olds[name]))}
    with world.off():
        now = {name: ask(client, path) for name, path in names.items()}
    run(world, list(change.undo))
    moved = {name for name in names if (now[name].status, now[name].words) != (olds[name].status, olds[name].words)}
    if and_undone:
        wrongs |= {
            f"{name} undone": why for name, path in names.items() if (why := wrong(world, client, path, olds[name]))
        }
    return {"wrong": wrongs, "moved": sorted(moved)}


def each_change(world: World) -> dict[str, Any]:
    """Each change that concerns some documents, with these; and two that concern all."""
    client, all_paths = world.client("p1", "session"), paths(world)
    some = [change for change in changes(world) if change.documents or change.name in ("deactivated", "role taken")]
    return {
        change.name: changed(
            world, {name: all_paths[name] for name in change.documents or all_paths}, client, change, and_undone=False
        )
        for change in some
    }


def every_change(world: World) -> dict[str, Any]:
    """Each change with the documents that it concerns and others, by token."""
    client, all_paths = world.client("p1"), paths(world)
    return {
        change.name: changed(world, _concerned(all_paths, change, number), client, change, and_undone=True)
        for number, change in enumerate(changes(world))
    }


def _concerned(all_paths: Mapping[str, str], change: Change, number: int) -> dict[str, str]:
    """The documents that a change is looked at with, which is the one of this number: all, where a dashboard's row is
    written, of which some parts end some documents only."""
    if change.name.startswith("dashboards."):
        return dict(all_paths)
    others = [name for name in all_paths if name not in (change.documents or all_paths)]
    names = {*(change.documents or all_paths), *others[number % 3 :: 3]}
    return {name: path for name, path in all_paths.items() if name in names}


def guests(world: World) -> dict[str, Any]:
    """Documents to a guest, and after the dashboard is no longer embedded: what was wrong, and the last statuses."""
    guest = world.guest()
    names = {name: path for name, path in paths(world).items() if _status(world, guest, path) == 200}
    olds = {name: granted(world, guest, path) for name, path in names.items()}
    other = world.guest(username="another guest")
    wrongs = {
        f"{name} to another": why for name, path in names.items() if (why := wrong(world, other, path, olds[name]))
    }
    run(world, [("DELETE FROM embedded_dashboards", ())])
    wrongs |= {name: why for name, path in names.items() if (why := wrong(world, guest, path, olds[name]))}
    return {"granted": sorted(names), "wrong": wrongs, "now": {name: ask(guest, names[name]).status for name in names}}


def _status(world: World, client: Any, path: str) -> int:
    with world.off():
        return ask(client, path).status


def others(world: World) -> dict[str, str]:
    """What is wrong with what somebody else or nobody is told who comes with this person's ETag."""
    results, mine = {}, world.client("p1")
    token = mine.environ_base["HTTP_AUTHORIZATION"]
    tampered = world.app.test_client(use_cookies=False)
    tampered.environ_base["HTTP_AUTHORIZATION"] = token[:-4] + "AAAA"
    nobody = world.app.test_client(use_cookies=False)
    clients = {"p2": world.client("p2"), "p3": world.client("p3"), "tampered": tampered, "nobody": nobody}
    for name, path in paths(world).items():
        old = granted(world, mine, path)
        for who, client in clients.items():
            if why := wrong(world, client, path, old):
                results[f"{name} to {who}"] = why
    return results


def by_api(world: World, *, only: Collection[str] = ()) -> dict[str, Any]:
    """Changes by Superset's own API, each followed at once by requests: what was wrong, and which words it changed."""
    boss, client, all_paths = world.client("boss"), world.client("p1"), paths(world)
    board, dataset, results = world.board_id, world.datasets["t"], {}
    ((user,),) = world.sql("SELECT id FROM ab_user WHERE username = 'p1'")
    ((role,),) = world.sql("SELECT id FROM ab_role WHERE name = 'of p1'")
    ((other,),) = world.sql("SELECT id FROM ab_role WHERE name = 'Public'")
    steps: list[tuple[str, Any, str, str, Any, tuple[str, ...]]] = [
        ("star", client, "post", f"/api/v1/dashboard/{board}/favorites/", None, ("dashboard favourite",)),
        ("unstar", client, "delete", f"/api/v1/dashboard/{board}/favorites/", None, ("dashboard favourite",)),
        ("title", boss, "put", f"/api/v1/dashboard/{board}", {"dashboard_title": "by api"}, ("dashboard",)),
        ("chart", boss, "put", f"/api/v1/chart/{world.chart_id}", {"slice_name": "by api"}, ("charts", "dashboard")),
        ("dataset", boss, "put", f"/api/v1/dataset/{dataset}", {"main_dttm_col": "at"}, ("datasets", "drill_info")),
        ("database", boss, "put", f"/api/v1/database/{world.source_id}", {"allow_ctas": True}, ("databases",)),
        ("draft", boss, "put", f"/api/v1/dashboard/{board}", {"published": False}, ("dashboard", "charts", "tabs")),
        ("published", boss, "put", f"/api/v1/dashboard/{board}", {"published": True}, ("dashboard", "charts", "tabs")),
        ("other role", boss, "put", f"/api/v1/security/users/{user}", {"roles": [other]}, tuple(all_paths)),
        ("own role", boss, "put", f"/api/v1/security/users/{user}", {"roles": [role]}, tuple(all_paths)),
    ]  # fmt: skip
    for name, who, verb, path, body, documents in [step for step in steps if not only or step[0] in only]:
        age(world)
        olds = {one: _kept(world, client, all_paths[one]) for one in documents}
        status = getattr(who, verb)(path, json=body).status_code
        wrongs = {one: why for one in documents if (why := wrong(world, client, all_paths[one], olds[one]))}
        moved = [one for one in documents if ask(client, all_paths[one]) != olds[one]]
        results[name] = {"status": status, "wrong": wrongs, "moved": moved}
    return results


def _kept(world: World, client: Any, path: str) -> Told:
    """A document that is granted where Superset gives it; else its answer."""
    return granted(world, client, path) if _status(world, client, path) == 200 else ask(client, path)


def clock(world: World) -> dict[str, Any]:
    """Documents that say how long ago something was, asked two days later: what was wrong, and which say otherwise."""
    from superset.models import helpers

    class Later(datetime):
        """A clock that is ahead."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=2)

    client, all_paths = world.client("p1"), paths(world)
    olds = {name: granted(world, client, path) for name, path in all_paths.items()}
    helpers.datetime = Later
    try:
        wrongs = {name: why for name, path in all_paths.items() if (why := wrong(world, client, path, olds[name]))}
        moved = [name for name, path in all_paths.items() if ask(client, path).words != olds[name].words]
    finally:
        helpers.datetime = datetime
    return {"wrong": wrongs, "moved": moved}


def equal(world: World, kinds: Sequence[str], encodings: Sequence[str]) -> dict[str, Any]:
    """Bytes, headers and rows of Superset's log of each granted document, beside the oracle's: what differs."""
    results: dict[str, Any] = {}
    for kind in kinds:
        client = world.client("p2", kind)
        for name, path in paths(world).items():
            for encoding in encodings:
                granted(world, _Encoded(client, encoding), path)
                seen = [_whole(world, client, path, encoding)]
                with world.off():
                    seen.append(_whole(world, client, path, encoding))
                if seen[0] != seen[1]:
                    results[f"{name} {kind} {encoding}"] = [
                        part for part in zip(*seen, strict=True) if part[0] != part[1]
                    ]
    return results


class _Encoded:
    """A client that takes one encoding."""

    def __init__(self, client: Any, encoding: str) -> None:
        self._client, self._encoding = client, encoding

    def get(self, path: str, headers: Mapping[str, str]) -> Any:
        """Ask."""
        return self._client.get(path, headers={**headers, "Accept-Encoding": self._encoding})


def _whole(world: World, client: Any, path: str, encoding: str) -> tuple[Any, ...]:
    flush()
    ((last,),) = world.sql("SELECT coalesce(max(id), 0) FROM logs")
    answer = client.get(path, headers={"Accept-Encoding": encoding})
    aside = ("Date", "Set-Cookie", "ETag", "Cache-Control")
    headers = {name: value for name, value in answer.headers if name not in aside}
    flush()
    logged = world.sql(
        "SELECT action, json, dashboard_id, slice_id, user_id, referrer FROM logs WHERE id > %s ORDER BY action", last
    )
    return answer.status_code, headers, timeless(answer.data), logged


def statements(world: World) -> dict[str, Any]:
    """How many statements each document sends to the metadata database, and how many when it is given again."""
    from sqlalchemy import event
    from superset.extensions import db

    sent: list[str] = []
    mine = threading.get_ident()  # a thread writes the log whenever that is due

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == mine:
            sent.append(statement)

    with world.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    results = {}
    try:
        for name, path in paths(world).items():
            client = world.client("p1", "session")
            granted(world, client, path)
            sent.clear()
            ask(client, path)
            again = len(sent)
            with world.off():
                sent.clear()
                ask(client, path)
            results[name] = [len(sent), again]
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return results


def refused(world: World) -> dict[str, Any]:
    """Whether a document is granted with a function of the config that may ask anything, and who says how often."""
    hooks, client, path = world.grants.hooks, world.client("p1"), paths(world)["databases"]
    results = {}
    for name in ("EXTRA_DYNAMIC_QUERY_FILTERS", "THUMBNAIL_DASHBOARD_DIGEST_FUNC"):
        old = world.app.config[name]
        world.app.config[name] = {"databases": lambda query: query}
        hooks._is_possible, hooks._with_documents = None, True
        before = hooks.given
        for _ in range(3):
            ask(client, path)
        results[name] = hooks.given - before
        world.app.config[name] = old
        hooks._is_possible, hooks._with_documents = None, True
    return results
