"""The documents that a dashboard's opening asks for, asked with grants and without, while what they say changes.

Runs in a process with a Superset app (see `testing/superset_app.py`). The same app with its grants switched off is the
oracle: its status is the right one, and an answer of 304 stands for bytes that it would give now.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from testing.documents_asked import Told, ask, granted, wrong
from testing.documents_changes import Change, changes
from testing.documents_site import age, paths
from testing.event_log import flush
from testing.grants import World, timeless
from testing.grants_changes import run


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
