"""What is done to people, rights, objects and rows, past Superset and by it; each time the next answer is the oracle's.

Runs where `testing/grants.py` does.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from testing.grants import PEOPLE, World, beside, same


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


def stopped(world: World) -> dict[str, Any]:
    """Without triggers nothing is granted; with new ones, nothing that was granted before."""
    client, body, results = world.client("p5"), world.body(), {}
    world.granted(client, body)
    world.sql("ALTER TABLE ab_user_role DISABLE TRIGGER superset_ext_grants")
    run(world, raw_changes(world, "p5")[1][1])
    results["disabled"] = beside(world, client, body)
    run(world, raw_changes(world, "p5")[1][2])
    world.sql("ALTER TABLE ab_user_role ENABLE ALWAYS TRIGGER superset_ext_grants")
    results["enabled"] = beside(world, client, body)
    world.ready()
    world.granted(client, body)
    world.sql("DROP SCHEMA superset_ext_grants CASCADE")
    results["dropped"] = beside(world, client, body)
    world.ready()
    world.granted(client, body)
    world.grants.stamps.uninstall()
    ((left,),) = world.sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'superset%%'")
    results["left"] = left
    results["removed"] = beside(world, client, body)
    return results


def away(world: World, redis_pid: int) -> dict[str, Any]:
    """Without Redis, then without triggers too, then with triggers alone: each as the oracle, rights included."""
    client, body, results = world.client("p5"), world.body(), {}
    _, do, undo = raw_changes(world, "p5")[1]
    world.granted(client, body)
    os.kill(redis_pid, signal.SIGKILL)
    for name in ("Redis", "both"):
        results[name] = beside(world, client, body)
        run(world, do)
        results[f"{name}, role taken"] = beside(world, client, body)
        run(world, undo)
        world.sql("DROP SCHEMA IF EXISTS superset_ext_grants CASCADE")
    world.ready()
    results["neither"] = beside(world, client, body)
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
    results.append(beside(world, client, body))
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
            results[name] = [*beside(world, client, body), done.status_code]
            world.granted(client, body)
        else:
            results[name] = [*beside(world, client, body), done.status_code]
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
