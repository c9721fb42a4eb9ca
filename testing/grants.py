"""People, rules and dashboards whose rights change all the time, asked with grants and without.

Runs in a process with a Superset app (see `testing/superset_app.py`). The same app with its grants switched off is the
oracle: what it answers this person now is what may be granted.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

PASSWORD = "inside-1!"
PEOPLE = tuple(f"p{number}" for number in range(1, 9))
CSRF_SETTINGS = """
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
GUEST_ROLE_NAME = "guests"
GUEST_TOKEN_JWT_SECRET = "the secret of guests, long enough for a key"
GUEST_TOKEN_JWT_EXP_SECONDS = 3600
from superset_ext.config import *
FEATURE_FLAGS = {**FEATURE_FLAGS, "ENABLE_TEMPLATE_PROCESSING": True, "EMBEDDED_SUPERSET": True}
"""
TABLE = """
CREATE TABLE t (owner text, v int, at timestamp);
INSERT INTO t SELECT 'p' || 1 + n %% 8, n, timestamp '2026-01-01' + n * interval '1 day' FROM generate_series(1, 80) n;
"""
Change = Callable[[random.Random], str]


class World:
    """One app, its people, and two datasets over one table: `t`, and `own`, which shows each person their rows.

    Args:
        app: with grants switched on.
        source: Superset's database over an empty one.
        url: the metadata database's.
    """

    def __init__(self, app: Any, source: Any, url: str) -> None:
        self.app, self.url = app, url
        self.source_id = source.id
        with source.get_sqla_engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql(TABLE)
        self._rights()
        self.datasets = {"t": self._dataset("t"), "own": self._dataset("own", OWN)}
        self._people()
        self._dashboard()
        self.clients: dict[tuple[str, str], Any] = {}

    @property
    def grants(self) -> Any:
        """What gives answers again in it."""
        return self.app.extensions["superset_ext_grants"]

    def ready(self) -> World:
        """Itself, once its triggers are there."""
        assert self.grants.stamps.make_ready()
        return self

    def _rights(self) -> None:
        from superset.extensions import appbuilder, security_manager

        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_role("Admin")
        security_manager.add_user("boss", "Ada", "Min", "boss@example.org", admin, PASSWORD)

    def _dataset(self, name: str, sql: str | None = None) -> int:
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
        from superset.extensions import db

        made = SqlaTable(table_name=name, database_id=self.source_id, sql=sql, schema="public")
        made.columns = [
            TableColumn(column_name="owner", type="TEXT"), TableColumn(column_name="v", type="INT"),
            TableColumn(column_name="at", type="TIMESTAMP", is_dttm=True),
        ]  # fmt: skip
        made.metrics = [SqlMetric(metric_name="total", expression="sum(v)")]
        db.session.add(made)
        db.session.commit()
        return int(made.id)

    def _people(self) -> None:
        """Each person has a role of their own, so that what is done to one concerns nobody else."""
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db, security_manager

        perms = [security_manager.add_permission_view_menu("can_read", "Chart")]
        perms += [
            security_manager.add_permission_view_menu("datasource_access", dataset.perm)
            for dataset in db.session.query(SqlaTable)
        ]
        for name in ("guests", *PEOPLE):
            role = security_manager.add_role(name if name == "guests" else f"of {name}")
            role.permissions = list(perms[:1] if name == "guests" else perms)
            if name != "guests":
                security_manager.add_user(name, name, name, f"{name}@example.org", [role], password=PASSWORD)
        db.session.commit()

    def _dashboard(self) -> None:
        from superset.extensions import db
        from superset.models.dashboard import Dashboard
        from superset.models.embedded_dashboard import EmbeddedDashboard
        from superset.models.slice import Slice

        chart = Slice(slice_name="c", datasource_id=self.datasets["t"], datasource_type="table", viz_type="table")
        board = Dashboard(dashboard_title="board", slices=[chart], published=True)
        board.embedded = [EmbeddedDashboard(allow_domain_list="")]
        db.session.add(board)
        db.session.commit()
        self.chart_id, self.board_id, self.embedded_id = chart.id, board.id, str(board.embedded[0].uuid)

    def body(self, dataset: str = "t", **more: Any) -> dict[str, Any]:
        """A query context."""
        query = {"columns": ["owner"], "metrics": ["total"], "orderby": [["owner", True]], "row_limit": 100, **more}
        return {
            "datasource": {"id": self.datasets[dataset], "type": "table"},
            "queries": [query],
            "result_format": "json",
            "result_type": "full",
            "form_data": {"slice_id": self.chart_id, "dashboardId": self.board_id},
        }

    def client(self, name: str, kind: str = "jwt") -> Any:
        """Somebody's browser: with a session, or with a token."""
        if (name, kind) not in self.clients:
            client = self.app.test_client()
            login = {"username": name, "password": PASSWORD, "provider": "db"}
            if kind == "jwt":
                token = client.post("/api/v1/security/login", json=login).json["access_token"]
                client = self.app.test_client(use_cookies=False)
                client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            else:
                answer = client.post("/login/", data={"username": name, "password": PASSWORD})
                assert answer.status_code == 302, answer.status_code
            self.clients[name, kind] = client
        return self.clients[name, kind]

    def guest(self, rules: list[dict[str, Any]] | None = None, **claims: Any) -> Any:
        """A guest's browser."""
        from superset.extensions import security_manager

        with self.app.app_context():
            resources = [{"type": "dashboard", "id": self.embedded_id}]
            user = {"username": "guest", **claims}
            token = security_manager.create_guest_access_token(user, resources, rules or [])
        client = self.app.test_client(use_cookies=False)
        client.environ_base["HTTP_X_GUESTTOKEN"] = token.decode() if isinstance(token, bytes) else token
        return client

    def ask(self, client: Any, body: Any) -> tuple[int, Any]:
        """An answer, with grants."""
        return answer_of(client.post("/api/v1/chart/data", json=body))

    def oracle(self, client: Any, body: Any) -> tuple[int, Any]:
        """What Superset answers now, without them."""
        with self.off():
            return self.ask(client, body)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Without grants, in the whole app."""
        hooks = self.grants.hooks
        hooks._is_possible = False
        try:
            yield
        finally:
            hooks._is_possible = None

    def granted(self, client: Any, body: Any) -> tuple[int, Any]:
        """An answer that was given again; it was asked as often as that takes."""
        for _ in range(6):
            before = self.grants.hooks.given
            answer = self.ask(client, body)
            if self.grants.hooks.given > before:
                return answer
        from superset_ext.core.signals import failures

        raise AssertionError(f"never granted: {self.grants.hooks.refused}, {dict(failures)}, {answer}")

    def source(self, statement: str) -> None:
        """Run a statement on the source, past Superset."""
        from superset.extensions import db
        from superset.models.core import Database

        with self.app.app_context():
            source = db.session.get(Database, self.source_id)
            with source.get_sqla_engine() as engine, engine.begin() as connection:
                connection.exec_driver_sql(statement)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement on the metadata database, past Superset."""
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


OWN = "SELECT owner, v, at FROM t WHERE owner = '{{ current_username() }}'"


def answer_of(response: Any) -> tuple[int, Any]:
    """Status and answer, without the numbers that each error has of its own."""
    answer = response.get_json(silent=True)
    return response.status_code, answer


def raw_changes(world: World, name: str) -> list[tuple[str, list[tuple[str, tuple[Any, ...]]], list[Any]]]:
    """What may be done to one person past Superset, each with how it is undone: name, statements, statements."""
    mine = "(SELECT id FROM ab_user WHERE username = %s)"
    role = "(SELECT id FROM ab_role WHERE name = %s)"
    own = f"of {name}"
    columns = "ab_user_role (id, user_id, role_id)"
    insert = f"INSERT INTO {columns} VALUES (nextval('ab_user_role_id_seq'), {mine}, {role})"
    perms = world.sql(f"SELECT permission_view_id FROM ab_permission_view_role WHERE role_id = {role}", own)
    back = (
        "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) SELECT "
        f"nextval('ab_permission_view_role_id_seq'), pv, {role} FROM unnest(%s::int[]) WITH ORDINALITY AS p(pv, n)"
    )
    rule = (
        "WITH f AS (INSERT INTO row_level_security_filters (id, name, filter_type, clause) VALUES "
        "((SELECT coalesce(max(id), 0) + 1 FROM row_level_security_filters), %s, 'Regular', %s) RETURNING id), "
        "r AS (INSERT INTO rls_filter_roles (id, role_id, rls_filter_id) SELECT (SELECT coalesce(max(id), 0) + 1 FROM "
        f"rls_filter_roles), {role}, f.id FROM f) INSERT INTO rls_filter_tables (id, table_id, rls_filter_id) "
        "SELECT (SELECT coalesce(max(id), 0) + 1 FROM rls_filter_tables), %s, f.id FROM f"
    )
    these = "WHERE rls_filter_id IN (SELECT id FROM row_level_security_filters WHERE name = %s)"
    unrule = [
        (f"DELETE FROM rls_filter_tables {these}", (name,)),
        (f"DELETE FROM rls_filter_roles {these}", (name,)),
        ("DELETE FROM row_level_security_filters WHERE name = %s", (name,)),
    ]
    return [
        ("deactivated", [("UPDATE ab_user SET active = false WHERE username = %s", (name,))],
         [("UPDATE ab_user SET active = true WHERE username = %s", (name,))]),
        ("role taken", [(f"DELETE FROM ab_user_role WHERE user_id = {mine}", (name,))], [(insert, (name, own))]),
        ("rights taken", [(f"DELETE FROM ab_permission_view_role WHERE role_id = {role}", (own,))],
         [(back, (own, [row[0] for row in perms]))]),
        ("rule added", [(rule, (name, "v < 20", own, world.datasets["t"]))], unrule),
        ("renamed", [("UPDATE ab_user SET username = 'p99' WHERE username = %s", (name,))],
         [("UPDATE ab_user SET username = %s WHERE username = 'p99'", (name,))]),
        ("metric", [("UPDATE sql_metrics SET expression = 'sum(v) + 1' WHERE table_id = %s", (world.datasets["t"],))],
         [("UPDATE sql_metrics SET expression = 'sum(v)' WHERE table_id = %s", (world.datasets["t"],))]),
        ("dataset", [("UPDATE tables SET sql = 'SELECT * FROM t WHERE v < 9' WHERE id = %s", (world.datasets["t"],))],
         [("UPDATE tables SET sql = NULL WHERE id = %s", (world.datasets["t"],))]),
    ]  # fmt: skip


def run(world: World, statements: list[Any]) -> None:
    """Run statements past Superset, in one transaction."""
    with psycopg2.connect(world.url) as connection, connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
    connection.close()


def changes(world: World, seed: int, rounds: int) -> dict[str, Any]:
    """Changes past Superset in random order, each followed at once by a request; what differed from the oracle."""
    chance, different, count, granted = random.Random(seed), [], 0, 0
    for _ in range(rounds):
        name, kind = chance.choice(PEOPLE[:3]), chance.choice(("jwt", "session"))
        dataset = chance.choice(("t", "own"))
        client, body = world.client(name, kind), world.body(dataset)
        what, do, undo = chance.choice(raw_changes(world, name))
        world.granted(client, body)
        run(world, do)
        for step in ("after", "undone"):
            before = world.grants.hooks.given
            answer, expected = world.ask(client, body), world.oracle(client, body)
            granted += world.grants.hooks.given - before
            count += 1
            if not same(answer, expected):
                different.append((what, step, name, kind, dataset, answer, expected))
            if step == "after":
                run(world, undo)
    return {"asked": count, "granted": granted, "different": different[:5], "differ": len(different)}


def same(one: tuple[int, Any], other: tuple[int, Any]) -> bool:
    """Whether two answers say the same, times of the cache aside."""
    return one[0] == other[0] and _bare(one[1]) == _bare(other[1])


def _bare(answer: Any) -> Any:
    if not isinstance(answer, dict) or "result" not in answer:
        return answer
    aside = ("cached_dttm", "queried_dttm", "is_cached", "from_dttm", "to_dttm")
    return [{k: v for k, v in result.items() if k not in aside} for result in answer["result"]]


def killed(world: World, rounds: int) -> dict[str, Any]:
    """A writer that is killed at each step of a commit; each time the next answer is the oracle's."""
    different, client, body = [], world.client("p4"), world.body()
    name = "p4"
    for number in range(rounds):
        what, do, undo = raw_changes(world, name)[number % 4]
        step = ("begun", "written", "committed")[number % 3]  # three and four: each with each in twelve rounds
        world.granted(client, body)
        _write_and_die(world.url, do, step)
        answer, expected = world.ask(client, body), world.oracle(client, body)
        if not same(answer, expected):
            different.append((what, step, answer, expected))
        if step == "committed":
            run(world, undo)
    return {"rounds": rounds, "different": different[:5], "differ": len(different)}


def _write_and_die(url: str, statements: list[Any], step: str) -> None:
    pid = os.fork()
    if pid == 0:
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        if step != "begun":
            for statement, values in statements:
                cursor.execute(statement, values)
        if step == "committed":
            connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def writers(world: World, number: int, rounds: int) -> dict[str, Any]:
    """So many people at once, each of whose role is taken and given back; each answer follows from the last commit."""
    wrong: list[Any] = []
    body = world.body()
    people = PEOPLE[:number]
    clients = {name: world.client(name) for name in people}
    plans = {name: raw_changes(world, name)[1] for name in people}

    def toggle(name: str) -> None:
        _, do, undo = plans[name]
        for _ in range(rounds):
            for statements, status in ((do, 403), (undo, 200)):
                run(world, statements)
                answers = [world.ask(clients[name], body)[0] for _ in range(3)]
                if set(answers) != {status}:
                    wrong.append((name, status, answers))

    threads = [threading.Thread(target=toggle, args=(name,)) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"asked": rounds * 2 * 3 * number, "wrong": wrong[:5], "given": world.grants.hooks.given}


def credentials(world: World) -> dict[str, Any]:
    """Tampered, expired, swapped and doubled credentials, each with the answer that the oracle gives."""
    body, good = world.body(), world.client("p1")
    world.granted(good, body)
    world.granted(world.client("p1", "session"), body)
    token = good.environ_base["HTTP_AUTHORIZATION"]
    other = world.client("p2").environ_base["HTTP_AUTHORIZATION"]
    head, claims, mac = token.split(".")
    wrong = {
        "signature": f"{head}.{claims}.{mac[:-4]}AAAA", "swapped": f"{head}.{other.split('.')[1]}.{mac}",
        "other person": other, "no scheme": token.removeprefix("Bearer "), "twice": f"{token} {token}",
        "empty": "Bearer ", "expired": _expired(world),
    }  # fmt: skip
    answers: dict[str, Any] = {}
    for name, header in wrong.items():
        client = world.app.test_client(use_cookies=False)
        client.environ_base["HTTP_AUTHORIZATION"] = header
        answers[name] = _beside(world, client, body)
    both = world.app.test_client()
    both.post("/login/", data={"username": "p2", "password": PASSWORD})
    both.environ_base["HTTP_AUTHORIZATION"] = token
    answers["session and token"] = _beside(world, both, body)
    cookie = world.client("p1", "session").get_cookie("session").value
    for name, value in (("session cut", cookie[:-3] + "AAA"), ("session made up", "x" + cookie)):
        client = world.app.test_client()
        client.set_cookie("session", value)
        answers[name] = _beside(world, client, body)
    answers["nobody"] = _beside(world, world.app.test_client(), body)
    return answers


def _beside(world: World, client: Any, body: Any) -> list[Any]:
    """Whether it is the oracle's answer, and its status."""
    answer, expected = world.ask(client, body), world.oracle(client, body)
    return [same(answer, expected), answer[0]]


def _expired(world: World) -> str:
    from datetime import timedelta

    from flask_jwt_extended import create_access_token

    with world.app.app_context():
        (number,) = world.sql("SELECT id FROM ab_user WHERE username = 'p1'")[0]
        return f"Bearer {create_access_token(str(number), expires_delta=timedelta(seconds=-5))}"


def guests(world: World) -> dict[str, Any]:
    """Guests with other rules and resources, and one whose dashboard is no longer embedded."""
    body, plain = world.body(), world.guest()
    first = world.granted(plain, body)
    ruled = world.guest([{"clause": "v < 20"}])
    narrow = world.granted(ruled, body)
    results: dict[str, Any] = {
        "again": same(world.ask(plain, body), first), "ruled": same(narrow, world.oracle(ruled, body)),
        "differ": not same(first, narrow), "other token": same(world.ask(world.guest(), body), first),
    }  # fmt: skip
    world.sql("DELETE FROM embedded_dashboards")
    results["removed"] = _beside(world, plain, body)
    return results


def refused(world: World) -> dict[str, Any]:
    """Requests that are answered as ever, each asked until it would have been granted: how many were."""
    client, hooks = world.client("p1"), world.grants.hooks
    force, download = world.body(), world.body()
    force["force"], download["result_format"] = True, "csv"
    samples = world.body() | {"result_type": "samples"}
    asked = {
        "force": force, "csv": download, "samples": samples,
        "column asks": world.body(columns=[_adhoc("{{ now() }}")]), "url": world.body(columns=[_adhoc("1")]),
    }  # fmt: skip
    results = {}
    for name, body in asked.items():
        before = hooks.given
        for _ in range(4):
            world.ask(client, body)
        results[name] = hooks.given - before
    return results | {
        "rule within": _with_rule(world, "v > {{ 0 }}"),
        "rule asks": _with_rule(world, "{{ now() }} = 1"),
    }


def _with_rule(world: World, clause: str) -> int:
    """How often the dataset over SQL was granted while a table in that SQL had a rule of another dataset."""
    client, hooks = world.client("p3"), world.grants.hooks
    role = "(SELECT id FROM ab_role WHERE name = 'of p3')"
    ((rule,),) = world.sql(
        "INSERT INTO row_level_security_filters (name, filter_type, clause) VALUES ('within', 'Regular', %s)"
        " RETURNING id",
        clause,
    )
    world.sql(f"INSERT INTO rls_filter_roles (role_id, rls_filter_id) VALUES ({role}, %s)", rule)
    world.sql("INSERT INTO rls_filter_tables (table_id, rls_filter_id) VALUES (%s, %s)", world.datasets["t"], rule)
    before = hooks.given
    for _ in range(4):
        world.ask(client, world.body("own"))
    for table in ("rls_filter_roles", "rls_filter_tables"):
        world.sql(f"DELETE FROM {table} WHERE rls_filter_id = %s", rule)
    world.sql("DELETE FROM row_level_security_filters WHERE id = %s", rule)
    return int(hooks.given > before)


def _adhoc(sql: str) -> dict[str, str]:
    return {"label": "x", "sqlExpression": sql, "expressionType": "SQL"}


def counted(world: World) -> dict[str, Any]:
    """What a granted answer leaves in Superset's log and in ours, beside what the same answer leaves without grants."""
    client, body = world.client("p1"), world.body()
    world.granted(client, body)
    logs = world.grants.logs
    logs.finish(600)
    rows = (
        "SELECT action, json, dashboard_id, slice_id, user_id, referrer FROM logs WHERE id > %s ORDER BY action, json"
    )

    def left(ask: Callable[[Any, Any], Any]) -> list[Any]:
        ((last,),) = world.sql("SELECT max(id) FROM logs")
        ask(client, body)
        logs.finish(600)
        return world.sql(rows, last)

    with_grants, without = left(world.ask), left(world.oracle)
    differ = [row for row in (*with_grants, *without) if (row in with_grants) != (row in without)]
    return {"equal": with_grants == without, "rows": len(without), "differ": differ}


def counted_hits(world: World) -> dict[str, Any]:
    """The outcomes and the requests for warming of an answer, with grants and without."""
    from superset_ext import events

    client, body = world.client("p1"), world.body()
    world.granted(client, body)
    heard: list[Any] = []

    def hear(_sender: Any, event: Any) -> None:
        heard.append(event)

    results = []
    for ask in (world.ask, world.oracle):
        heard.clear()
        with events.outcome.connected_to(hear), events.asked.connected_to(hear):
            ask(client, body)
        results.append([_timeless(event) for event in heard])
    return {
        "equal": results[0] == results[1],
        "told": len(results[1]),
        "differ": results if results[0] != results[1] else [],
    }


def _timeless(event: Any) -> str:
    from dataclasses import replace

    return repr(replace(event, ms=0.0) if hasattr(event, "ms") else event)


def stopped(world: World) -> dict[str, Any]:
    """Without triggers nothing is granted; with new ones, nothing that was granted before."""
    client, body, results = world.client("p5"), world.body(), {}
    world.granted(client, body)
    world.sql("ALTER TABLE ab_user_role DISABLE TRIGGER superset_ext_grants")
    run(world, raw_changes(world, "p5")[1][1])
    results["disabled"] = _beside(world, client, body)
    run(world, raw_changes(world, "p5")[1][2])
    world.sql("ALTER TABLE ab_user_role ENABLE ALWAYS TRIGGER superset_ext_grants")
    results["enabled"] = _beside(world, client, body)
    assert world.grants.stamps.make_ready()
    world.granted(client, body)
    world.sql("DROP SCHEMA superset_ext_grants CASCADE")
    results["dropped"] = _beside(world, client, body)
    assert world.grants.stamps.make_ready()
    world.granted(client, body)
    world.grants.stamps.uninstall()
    ((left,),) = world.sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'superset%%'")
    results["left"] = left
    results["removed"] = _beside(world, client, body)
    return results


def late_commit(world: World) -> list[Any]:
    """A transaction that began before a grant was stored, and ends after one that began later."""
    client, body = world.client("p6"), world.body()
    (_, do, undo), results = raw_changes(world, "p6")[1], []
    early = psycopg2.connect(world.url)
    for statement, values in do:
        early.cursor().execute(statement, values)
    world.sql("UPDATE dbs SET cache_timeout = cache_timeout")  # a later transaction that ends first
    world.granted(client, body)
    early.commit()
    results.append(_beside(world, client, body))
    early.close()
    run(world, undo)
    return results


def by_api(world: World) -> dict[str, Any]:
    """Changes by the API that Superset's pages use, each followed at once by a request."""
    boss, client, body = world.client("boss"), world.client("p7"), world.body()
    ((user,),) = world.sql("SELECT id FROM ab_user WHERE username = 'p7'")
    ((role,),) = world.sql("SELECT id FROM ab_role WHERE name = 'of p7'")
    ((other,),) = world.sql("SELECT id FROM ab_role WHERE name = 'Public'")
    perms = [
        row[0] for row in world.sql("SELECT permission_view_id FROM ab_permission_view_role WHERE role_id = %s", role)
    ]
    dataset, results = world.datasets["t"], {}
    rule = {"name": "r", "filter_type": "Regular", "tables": [dataset], "roles": [role], "clause": "v < 30"}
    rights = f"/api/v1/security/roles/{role}/permissions"
    steps: list[tuple[str, str, str, Any]] = [
        ("inactive", "put", f"/api/v1/security/users/{user}", {"active": False}),
        ("active", "put", f"/api/v1/security/users/{user}", {"active": True}),
        ("other role", "put", f"/api/v1/security/users/{user}", {"roles": [other]}),
        ("own role", "put", f"/api/v1/security/users/{user}", {"roles": [role]}),
        ("no rights", "post", rights, {"permission_view_menu_ids": []}),
        ("rights", "post", rights, {"permission_view_menu_ids": perms}),
        ("rule", "post", "/api/v1/rowlevelsecurity/", rule),
        ("clause", "put", "/api/v1/rowlevelsecurity/{rule}", {"clause": "v < 9"}),
        ("no rule", "delete", "/api/v1/rowlevelsecurity/{rule}", None),
        ("dataset", "put", f"/api/v1/dataset/{dataset}", {"description": "another"}),
    ]
    for name, verb, path, change in steps:
        rules = world.sql("SELECT coalesce(max(id), 0) FROM row_level_security_filters")
        done = getattr(boss, verb)(path.format(rule=rules[0][0]), json=change)
        if not name.startswith(("no ", "inactive", "other")):
            results[name] = [*_beside(world, client, body), done.status_code]
            world.granted(client, body)
        else:
            results[name] = [*_beside(world, client, body), done.status_code]
            if results[name][1] == 200:
                world.granted(client, body)
    return results


def fresh(world: World) -> dict[str, Any]:
    """Rows that change at the source: told of, seen by somebody's forced read, and with the entry deleted."""
    from superset_ext.host.regions import regions

    client, other, body, results = world.client("p8"), world.client("p3"), world.body(), {}
    region = regions(world.app)["chart_data"]
    forced = body | {"force": True}
    enders: dict[str, Callable[[], object]] = {
        "told": lambda: region.stamp([f"dataset:{world.datasets['t']}"]),  # type: ignore[attr-defined]
        "forced": lambda: world.ask(other, forced),
        "deleted": region.clear,
    }
    for name, end in enders.items():
        old = world.granted(client, body)
        world.source("UPDATE t SET v = v + 1")
        still = world.ask(client, body)
        end()
        now = world.ask(client, body)
        results[name] = [same(still, old), not same(now, old), same(now, world.oracle(client, body))]
    return results


def equal_bytes(world: World, encodings: Sequence[str]) -> dict[str, Any]:
    """Status, headers and bytes of granted answers beside the oracle's, for each encoding and credential."""
    results = {}
    moving = {"time_range": "Last year : now", "granularity": "at"}
    for kind in ("jwt", "session", "guest"):
        client = world.guest() if kind == "guest" else world.client("p2", kind)
        for name, body in (("plain", world.body(row_limit=90)), ("moving", world.body(row_limit=90, **moving))):
            for encoding in encodings:
                results[f"{kind} {name} {encoding}"] = _is_equal(world, client, body, encoding)
    return results


def _is_equal(world: World, client: Any, body: Any, encoding: str) -> bool:
    def whole() -> tuple[Any, ...]:
        answer = client.post("/api/v1/chart/data", json=body, headers={"Accept-Encoding": encoding})
        headers = {name: value for name, value in answer.headers if name not in ("Date", "Set-Cookie")}
        return (
            answer.status_code,
            headers,
            answer.data,
            [c.partition("=")[0] for c in answer.headers.getlist("Set-Cookie")],
        )

    for _ in range(8):
        before = world.grants.hooks.given
        granted = whole()
        if world.grants.hooks.given > before:
            with world.off():
                expected = whole()
            if granted == expected:  # else a second may have passed between both
                return True
    return False
