"""Who asks what, and how: credentials, guests, what is not granted, what an answer leaves behind, its bytes.

Runs where `testing/grants.py` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from testing.event_log import flush
from testing.grants import PASSWORD, World, beside, same, timeless


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
        answers[name] = beside(world, client, body)
    both = world.app.test_client()
    both.post("/login/", data={"username": "p2", "password": PASSWORD})
    both.environ_base["HTTP_AUTHORIZATION"] = token
    answers["session and token"] = beside(world, both, body)
    cookie = world.client("p1", "session").get_cookie("session").value
    for name, value in (("session cut", cookie[:-3] + "AAA"), ("session made up", "x" + cookie)):
        client = world.app.test_client()
        client.set_cookie("session", value)
        answers[name] = beside(world, client, body)
    answers["nobody"] = beside(world, world.app.test_client(), body)
    return answers


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
    results["removed"] = beside(world, plain, body)
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
    flush()
    rows = (
        "SELECT action, json, dashboard_id, slice_id, user_id, referrer FROM logs WHERE id > %s ORDER BY action, json"
    )

    def left(ask: Callable[[Any, Any], Any]) -> list[Any]:
        ((last,),) = world.sql("SELECT max(id) FROM logs")
        ask(client, body)
        flush()
        return world.sql(rows, last)

    with_grants, without = left(world.ask), left(world.oracle)
    differ = [row for row in (*with_grants, *without) if (row in with_grants) != (row in without)]
    return {"equal": with_grants == without, "rows": len(without), "differ": differ}


def counted_hits(world: World) -> dict[str, Any]:
    """The outcomes and the requests for warming of an answer, with grants and without."""
    from superset_ext.events import asked, outcome
    from superset_ext.host.given_again import GivenAgain, given_again

    client, body = world.client("p1"), world.body()
    world.granted(client, body)
    heard: list[Any] = []

    def hear(_sender: Any, event: Any) -> None:
        heard.extend(event.queries if isinstance(event, GivenAgain) else [event])

    results = []
    for ask in (world.ask, world.oracle):
        heard.clear()
        with outcome.connected_to(hear), asked.connected_to(hear), given_again.connected_to(hear):
            ask(client, body)
        results.append(sorted(map(_timeless, heard)))
    return {
        "equal": results[0] == results[1],
        "told": len(results[1]),
        "differ": results if results[0] != results[1] else [],
    }


def behind(world: World) -> dict[str, list[int]]:
    """What was kept, counted and logged when an answer's last byte was there, and when gunicorn had closed it."""
    from superset_ext import events
    from superset_ext.host.given_again import given_again

    client, body, hooks, heard = world.client("p1"), world.body(row_limit=9753), world.grants.hooks, list[Any]()

    def hear(_sender: Any, event: Any) -> None:
        heard.append(event)

    def asked(count: Callable[[], int]) -> list[int]:
        answer = client.post("/api/v1/chart/data", json=body, environ_overrides={"SERVER_SOFTWARE": "gunicorn/23"})
        answer.get_data()
        counts = [count()]
        answer.close()
        return [*counts, count()]

    def logged() -> int:
        flush()
        return int(world.sql("SELECT count(*) FROM logs")[0][0])

    world.ask(client, body)  # its rows are in the cache from now on
    kept, before = asked(lambda: hooks.kept), logged()
    given = hooks.given
    with events.outcome.connected_to(hear), given_again.connected_to(hear):
        outcomes = asked(lambda: len(heard))
    rows = asked(lambda: logged() - before)
    return {"kept": [kept[1] - kept[0]], "given": [hooks.given - given], "told": outcomes, "rows": rows}


def _timeless(event: Any) -> str:
    from dataclasses import replace

    return repr(replace(event, ms=0.0) if hasattr(event, "ms") else event)


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
            timeless(answer.data),
            [c.partition("=")[0] for c in answer.headers.getlist("Set-Cookie")],
        )

    for _ in range(40):  # a slow machine needs more than a second for some
        before = world.grants.hooks.given
        granted = whole()
        if world.grants.hooks.given > before:
            with world.off():
                expected = whole()
            if granted == expected:  # else a second may have passed between both
                return True
    return False
