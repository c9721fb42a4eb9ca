"""Attempts to be given what Superset would not give: rights that change on every way, and requests that look alike.

Works on the `World` of `testing/grants.py`; the same app without grants is the oracle.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg2

from testing.grants import PASSWORD, PEOPLE, World, same
from testing.grants_changes import raw_changes

Statements = list[tuple[str, tuple[Any, ...]]]
Write = Callable[[World, Statements], None]


def by_sql(world: World, statements: Statements, before: str = "") -> None:
    """In one transaction of another program."""
    with closing(psycopg2.connect(world.url)) as connection, connection, connection.cursor() as cursor:
        if before:
            cursor.execute(before)
        for statement, values in statements:
            cursor.execute(statement, values)


def by_replica(world: World, statements: Statements) -> None:
    """As a replication does that applies rows: ordinary triggers do not fire."""
    by_sql(world, statements, "SET LOCAL session_replication_role = replica")


def by_savepoint(world: World, statements: Statements) -> None:
    """After something that was rolled back in the same transaction."""
    by_sql(world, statements, "SAVEPOINT s; UPDATE dbs SET cache_timeout = 1; ROLLBACK TO s; SAVEPOINT t")


def by_statements(world: World, statements: Statements) -> None:
    """Each statement for itself, committed at once."""
    for statement in statements:
        by_sql(world, [statement])


def by_engine(world: World, statements: Statements) -> None:
    """By Superset's own engine, past its models."""
    from superset.extensions import db

    with world.app.app_context(), db.engine.begin() as connection:
        for statement, values in statements:
            connection.exec_driver_sql(statement, values)


def by_session(world: World, statements: Statements) -> None:
    """By Superset's session, in a raw cursor that fires no event."""
    from superset.extensions import db

    with world.app.app_context():
        with db.session.connection().connection.cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement, values)
        db.session.commit()


def by_late_commit(world: World, statements: Statements) -> None:
    """By a transaction that began earlier and has waited while others wrote."""
    with closing(psycopg2.connect(world.url)) as connection, connection, connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
        by_sql(world, [("UPDATE css_templates SET css = css", ())])
        world.ask(world.client("p8"), world.body())  # somebody's grant is stored meanwhile


def by_killed(world: World, statements: Statements) -> None:
    """By a process that is killed once it has committed."""
    pid = os.fork()
    if pid == 0:
        connection = psycopg2.connect(world.url)
        cursor = connection.cursor()
        for statement, values in statements:
            cursor.execute(statement, values)
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


WAYS: tuple[Write, ...] = (
    by_sql, by_replica, by_savepoint, by_statements, by_engine, by_session, by_late_commit, by_killed,
)  # fmt: skip


@dataclass
class Attack:
    """What an attack came to.

    Attributes:
        changes: how many were made, each followed at once by a request.
        given: requests that were given again before a change.
        wrong: what differed from the oracle.
    """

    changes: int = 0
    given: int = 0
    wrong: list[Any] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As a plain value."""
        return {"changes": self.changes, "given": self.given, "wrong": self.wrong[:5], "kinds": self.kinds}


def rights(world: World, seed: int, rounds: int) -> dict[str, Any]:
    """Changes of rights on every way, each followed at once by the request that was given again before."""
    chance, attack = random.Random(seed), Attack()
    for name in PEOPLE:  # who is deactivated later cannot log in then
        for kind in ("jwt", "session"):
            world.client(name, kind)
    while attack.changes < rounds:
        name = chance.choice(PEOPLE[:6])
        what, do, undo = chance.choice([*raw_changes(world, name), *_of_boards(world)])
        for statements in (do, undo):
            if what == "embedding":
                client, dataset = world.guest(), "t"
            else:
                client, dataset = world.client(name, chance.choice(("jwt", "session"))), chance.choice(("t", "own"))
            ask = chance.choice(ASKS)(world, client, dataset)
            write = chance.choice(WAYS)
            _primed(world, ask, attack)
            write(world, statements)
            _compared(world, ask, (what, write.__name__, ask.__qualname__, name, statements is do), attack)
    return attack.as_json()


Ask = Callable[[], tuple[int, Any]]


def _post(world: World, client: Any, dataset: str) -> Ask:
    return lambda: world.ask(client, world.body(dataset))


def _spaced(world: World, client: Any, dataset: str) -> Ask:
    text = json.dumps(world.body(dataset), indent=3)
    return lambda: _answer(client.post("/api/v1/chart/data", data=text, content_type="application/json; charset=utf-8"))


def _form(world: World, client: Any, dataset: str) -> Ask:
    text = json.dumps(world.body(dataset))
    return lambda: _answer(client.post("/api/v1/chart/data", data={"form_data": text}))


ASKS = (_post, _spaced, _form)


def _answer(response: Any) -> tuple[int, Any]:
    return response.status_code, response.get_json(silent=True)


def _of_boards(world: World) -> list[tuple[str, Statements, Statements]]:
    ((uuid, board),) = world.sql("SELECT uuid::text, dashboard_id FROM embedded_dashboards") or [(None, None)]
    back = "INSERT INTO embedded_dashboards (uuid, allow_domain_list, dashboard_id) VALUES (%s, '', %s)"
    off, on = (f"UPDATE dashboards SET published = {value} WHERE id = %s" for value in ("false", "true"))
    slices = "INSERT INTO dashboard_slices (id, dashboard_id, slice_id) VALUES (%s, %s, %s)"
    ((number,),) = world.sql("SELECT id FROM dashboard_slices WHERE dashboard_id = %s", board)
    return [
        ("embedding", [("DELETE FROM embedded_dashboards", ())], [(back, (uuid, board))]),
        ("published", [(off, (board,))], [(on, (board,))]),
        (
            "chart taken",
            [("DELETE FROM dashboard_slices WHERE dashboard_id = %s", (board,))],
            [(slices, (number, board, world.chart_id))],
        ),
        (
            "database",
            [("UPDATE dbs SET cache_timeout = 7 WHERE id = %s", (world.source_id,))],
            [("UPDATE dbs SET cache_timeout = NULL WHERE id = %s", (world.source_id,))],
        ),
    ]


def _primed(world: World, ask: Ask, attack: Attack) -> None:
    """Ask until the answer is given again, where it can be."""
    hooks = world.grants.hooks
    for _ in range(5):
        before = hooks.given
        status, _ = ask()
        if status != 200 or hooks.given > before:
            attack.given += hooks.given > before
            return


def _compared(world: World, ask: Ask, label: Any, attack: Attack) -> None:
    answer = ask()
    with world.off():
        expected = ask()
    attack.changes += 1
    attack.kinds[label[0]] = attack.kinds.get(label[0], 0) + 1
    if not same(answer, expected):
        attack.wrong.append((label, answer, expected))


def lookalikes(world: World) -> dict[str, Any]:
    """Requests that look like one that is given again, each beside the oracle: status, headers and body.

    All are asked first, so that whatever can be is stored before any is compared.
    """
    asks = {name: partial(_whole, how) for name, how in _lookalikes(world).items()}
    for _ in range(3):
        for ask in asks.values():
            ask()
    hooks, wrong, given = world.grants.hooks, {}, []
    for name, ask in asks.items():
        before = hooks.given
        for _ in range(8):  # a second may pass between both
            ask()  # what a forced read has ended begins anew
            answer = ask()
            with world.off():
                expected = ask()
            if answer == expected:
                break
        else:
            wrong[name] = [answer, expected]
        given += [name] if hooks.given > before else []
    return {"wrong": wrong, "given": sorted(given), "asked": len(asks)}


def _whole(how: Callable[[], Any]) -> Any:
    response = how()
    aside = ("Date", "Set-Cookie", "Content-Security-Policy")
    headers = sorted((name, value) for name, value in response.headers if name not in aside)
    cookies = sorted(cookie.partition("=")[0] for cookie in response.headers.getlist("Set-Cookie"))
    return response.status_code, headers, cookies, response.get_data().decode("latin-1")


def _lookalikes(world: World) -> dict[str, Callable[[], Any]]:
    body = world.body(row_limit=77)
    text = json.dumps(body)
    path = "/api/v1/chart/data"
    other = json.dumps(world.body("own", row_limit=77))
    ask = _Asker(world, path, text)
    doubled = text[:-1] + f', "datasource": {{"id": {world.datasets["own"]}, "type": "table"}}}}'
    asks: dict[str, Callable[[], Any]] = {
        "plain": ask(), "spaces": ask(data=text.replace(": ", ":  ")), "doubled key": ask(data=doubled),
        "no type": ask(content_type="text/plain"), "charset": ask(content_type="application/json; charset=latin-1"),
        "form": ask(data={"form_data": text}, content_type=None),
        "two forms": ask(data={"form_data": [text, other]}, content_type=None),
        "two forms turned": ask(data={"form_data": [other, text]}, content_type=None),
        "upload": ask(data={"form_data": (_file(text), "f.json")}, content_type="multipart/form-data"),
        "query": ask(path=f"{path}?form_data=%7B%22slice_id%22%3A1%7D"),
        "two queries": ask(path=f"{path}?form_data=%7B%7D&form_data=%7B%22slice_id%22%3A1%7D"),
        "dashboard": ask(path=f"{path}?dashboard_id={world.board_id}"), "force in url": ask(path=f"{path}?force=true"),
        "csv": ask(data=json.dumps(body | {"result_format": "csv"})),
        "xlsx status": ask(data=json.dumps(body | {"result_format": "wrong"})),
        "query type": ask(data=json.dumps(body | {"result_type": "query"})),
        "columns": ask(data=json.dumps(body | {"result_type": "columns"})),
        "results": ask(data=json.dumps(body | {"result_type": "results"})),
        "other dataset": ask(data=other), "head": ask(method="HEAD"), "options": ask(method="OPTIONS"),
        "get": ask(method="GET"), "slash": ask(path=f"{path}/"), "case": ask(path="/api/v1/chart/Data"),
        "empty": ask(data=""), "cut": ask(data=text[:-1]), "chunked": ask(chunked=True),
        "forwarded": ask(headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "x", "X-Forwarded-Proto": "https"}),
        "prefix": ask(headers={"X-Forwarded-Prefix": "/x"}), "host": ask(headers={"Host": "else.example.org"}),
        "referer": ask(headers={"Referer": "http://localhost/superset/dashboard/1/?standalone=3"}),
        "override": ask(headers={"X-HTTP-Method-Override": "GET"}), "german": ask(headers={"Accept-Language": "de"}),
        "accept": ask(headers={"Accept": "text/html"}), "range": ask(headers={"Range": "bytes=0-9"}),
        "etag": ask(headers={"If-None-Match": "*", "If-Modified-Since": "Sat, 28 Nov 2099 15:57:12 GMT"}),
        "zstd": ask(headers={"Accept-Encoding": "zstd"}), "gzip;q=0": ask(headers={"Accept-Encoding": "gzip;q=0, br"}),
        "api key": ask(headers={"Authorization": "Bearer sst_0123456789abcdef"}),
        "basic": ask(headers={"Authorization": "Basic cDE6aW5zaWRlLTEh"}),
        "guest too": ask(headers={"X-GuestToken": world.guest().environ_base["HTTP_X_GUESTTOKEN"]}),
    }  # fmt: skip
    for kind in ("session", "guest", "logged out", "other", "moved"):
        asks[kind] = _Asker(world, path, text, kind)()
    # Last: they end what was given again, since they store its rows anew.
    asks["force"] = ask(data=json.dumps(body | {"force": True}))
    return asks


class _Asker:
    """Makes requests of one person that differ from a plain one in one thing."""

    def __init__(self, world: World, path: str, text: str, kind: str = "jwt") -> None:
        self._plain: Mapping[str, Any] = {
            "path": path, "data": text, "content_type": "application/json", "method": "POST",
        }  # fmt: skip
        self._client = _client(world, kind)

    def __call__(self, chunked: bool = False, **other: Any) -> Callable[[], Any]:
        def ask() -> Any:
            plain = {**self._plain, **other}
            path, data = plain.pop("path"), plain["data"]
            if isinstance(data, dict):
                plain["data"] = {name: _again(value) for name, value in data.items()}
            if chunked:
                plain["input_stream"] = _file(plain.pop("data"))
                plain["environ_overrides"] = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
            return self._client.open(path, **plain)

        return ask


def _client(world: World, kind: str) -> Any:
    if kind == "guest":
        return world.guest()
    if kind in ("jwt", "session"):
        return world.client("p2", kind)
    if kind == "other":
        return world.client("p5", "session")
    client = world.app.test_client()
    client.post("/login/", data={"username": "p2", "password": PASSWORD})
    if kind == "moved":  # the cookie comes from another browser now
        client.environ_base["HTTP_USER_AGENT"] = "somebody else's"
    else:
        client.get("/logout/")
    return client


def _file(text: str) -> Any:
    from io import BytesIO

    return BytesIO(text.encode())


def _again(value: Any) -> Any:
    """An upload once more: a test client closes what it has sent."""
    if isinstance(value, tuple):
        value[0].seek(0)
        return (_file(value[0].read().decode()), *value[1:])
    return value
