"""The OpenAPI document of the REST API, against its routes and against what they really answer."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.ports import free_port
from superset_ext.freshness.change import EXTENSION as FRESHNESS
from superset_ext.package import EXTENSION
from superset_ext.plans.tree import Node, Plan
from superset_ext.settings import Targets
from testing import alerts
from testing.in_process import ADMIN, PASSWORD, InProcess
from testing.regions import make_region

# What Superset's own resources are described with.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:apispec")
BASE = "/api/v1/performance"
READS = (
    "status", "health", "cache/statistics", "dashboard", "slow-queries", "alerts", "aggregates", "recommendations",
    "metrics",
)  # fmt: skip
RUN = str(uuid.UUID(int=7))
RULE = {"name": "a rule of the test", "metric_type": "hit_ratio", "comparison_operator": "<", "threshold_value": 0.1}
GAMMA = ("gamma", "the password of gamma")
HUGE = {"keys": ["x" * 70_000]}
Route = tuple[str, str]  # its verb, and its path in the document
_RUN = """
INSERT INTO superset_ext.cache_warm_run (run_id, options, options_hash, requested_by, state, started_at, finished_at)
VALUES (%s, '{"charts": [1]}', 'a hash', 'api', 'done', now(), now())
"""
_ITEM = """
INSERT INTO superset_ext.cache_warm_item (run_id, ordinal, action, identity, dashboard_id, state, reason)
VALUES (%s, 1, 'replay', 'user 1', 3, 'failed', 'the query failed')
"""
_PLAN = """
INSERT INTO superset_ext.query_plan (
    fingerprint, database_id, duration_ms, version, cost, rows, shape, plan, findings, considered
) VALUES ('f', %s, 1, 180000, 1, 1, 's', %s, %s, %s)
"""
AGGREGATES: dict[str, dict[str, Any]] = {
    "propose": {}, "build": {"sql": "SELECT active, COUNT(*) AS n FROM public.ab_user GROUP BY active"}, "refresh": {},
    "check": {}, "drop": {"aggregates": ["none"]},
}  # fmt: skip
NO = {"kind": "spilled", "node": None, "reason": "in memory"}
_ALERT = """
INSERT INTO superset_ext.performance_alert (rule_id, value, worst)
SELECT min(id), 0.1, 0.05 FROM superset_ext.performance_alert_rule
"""


@pytest.fixture(scope="module")
def world(in_process: InProcess) -> Iterator[InProcess]:
    """An app whose log has something of each kind."""
    database = in_process.package.log()
    alerts.make_days(database)
    alerts.requests(database, -1, 30, 10)
    alerts.queries(database, -1, 5, 9_000.0, database=1)
    in_process.rows(_RUN, (RUN,))
    in_process.rows(_ITEM, (RUN,))
    in_process.rows(_ALERT)
    with in_process.awake():
        assert in_process.perf("refresh").exit_code == 0
        with in_process.app.app_context():
            source = asked_database()
            answering = asked_database("what is asked", in_process.url)
        finding = {"kind": "spilled", "node": 1, "evidence": "", "numbers": {}, "advice": "", "gain": 0.5}
        finding |= {"sure": "likely", "next_step": ""}
        plan = Plan("postgresql", 180000, Node(1, "Result")).as_dict()
        in_process.rows(_PLAN, (source, json.dumps(plan), json.dumps([finding]), json.dumps([NO])))
        yield in_process
        with in_process.app.app_context():
            forget_database(source)
            forget_database(answering)
    for table in (
        "query_plan",
        "cache_warm_run",
        "performance_alert",
        "cache_performance_log",
        "query_performance_log",
    ):
        in_process.rows(f"DELETE FROM superset_ext.{table}")


def asked_database(name: str = "of a plan", url: str = "postgresql://u@127.0.0.1:1/none") -> int:
    """The id of a new database of Superset, which nobody can connect to without a URL."""
    from superset.extensions import db
    from superset.models.core import Database

    database = Database(database_name=name)
    database.set_sqlalchemy_uri(url)
    database.allow_dml = True
    db.session.add(database)
    db.session.commit()
    return int(database.id)


def forget_database(number: int) -> None:
    from superset.extensions import db
    from superset.models.core import Database

    db.session.delete(db.session.get(Database, number))
    db.session.commit()


@pytest.fixture(scope="module")
def document(world: InProcess) -> dict[str, Any]:
    """Superset's document."""
    answer = world.client().get("/api/v1/_openapi")
    assert answer.status_code == 200
    whole: dict[str, Any] = answer.json
    return whole


def described(document: dict[str, Any]) -> dict[Route, dict[str, Any]]:
    """The operations of the API."""
    return {
        (verb.upper(), path): operation
        for path, verbs in document["paths"].items()
        if path.startswith(BASE)
        for verb, operation in verbs.items()
    }


def served(app: Any) -> dict[Route, set[str]]:
    """The routes that Flask has, with the names of the parameters in their paths."""
    return {
        (verb, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)): set(rule.arguments)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(BASE)
        for verb in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_each_route_is_described(world: InProcess, document: dict[str, Any]) -> None:
    """Intent: all routes are in the document and no other, with their parameters, a summary and the right to call."""
    routes, operations = served(world.app), described(document)
    assert set(operations) == set(routes) and len(routes) == 23
    for route, operation in operations.items():
        assert operation["summary"] and operation["tags"] == ["Performance"] and operation["security"], route
        path = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]
        assert {parameter["name"] for parameter in path} == routes[route] and all(
            parameter["required"] for parameter in path
        ), route
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"]["type"] in ("integer", "number", "string"), route
    query = operations["GET", f"{BASE}/slow-queries"]["parameters"]
    assert {parameter["name"]: parameter["schema"]["default"] for parameter in query} == {
        "limit": 50,
        "min_duration_ms": 0,
    }


def test_an_id_that_is_none_is_answered_in_json(world: InProcess, document: dict[str, Any]) -> None:
    """Intent: a script that has lost a run's id gets a 404 of the API, and no page of Superset's."""
    admin, anonymous = world.client(), world.app.test_client()
    asked = [route for route in described(document) if "{" in route[1]]
    assert len(asked) == 4
    for verb, path in asked:
        for none in ("none", "7x", "%20", "1.0", str(uuid.UUID(int=8))[:-1]):
            url = re.sub(r"\{\w+\}", none, path)
            answer = admin.open(url, method=verb, json={"enabled": False})
            assert answer.status_code == 404 and answer.json["message"], (verb, url, answer.text)
            assert anonymous.open(url, method=verb, json={}).status_code == 401


def test_each_body_is_described(document: dict[str, Any]) -> None:
    """Intent: a body has each field that its route takes; GET and DELETE have none."""
    bodies = {
        route: schema(document, operation["requestBody"]["content"]["application/json"]["schema"])["properties"]
        for route, operation in described(document).items()
        if "requestBody" in operation
    }
    rule = {*RULE, "subject", "clear_value", "window_minutes", "min_occurrences", "severity", "cooldown_minutes"}
    assert {route: set(properties) for route, properties in bodies.items()} == {
        # What a change has dropped is warmed by the package itself.
        ("POST", f"{BASE}/cache/warm-up"): set(Targets.model_fields) - {"changed"},
        ("POST", f"{BASE}/cache/invalidate"): {
            "tables", "databases", "datasets", "charts", "dashboards", "keys", "all", "operation", "changed_at",
        },
        ("POST", f"{BASE}/alerts"): rule | {"enabled"},
        ("PUT", f"{BASE}/alerts/{{number}}"): rule | {"enabled"},
        ("POST", f"{BASE}/analyze-query"): {"query", "database", "schema", "analyze"},
        ("POST", f"{BASE}/optimize-query"): {"query", "database", "schema", "optimization_level", "run"},
        ("POST", f"{BASE}/aggregates/propose"): {"database", "budget", "days", "floats", "loose"},
        ("POST", f"{BASE}/aggregates/build"): {
            "database", "sql", "name", "schema", "filters", "upkeep", "every", "tail", "late", "run",
        },
        ("POST", f"{BASE}/aggregates/refresh"): {"database", "aggregates", "whole"},
        ("POST", f"{BASE}/aggregates/check"): {"database", "aggregates"},
        ("POST", f"{BASE}/aggregates/drop"): {"database", "aggregates", "run"},
    }  # fmt: skip
    tables = bodies["POST", f"{BASE}/cache/invalidate"]["tables"]["items"]
    assert set(schema(document, tables)["properties"]) == {"database", "table", "schema"}


def schema(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    for name in node.get("$ref", "#").removeprefix("#").strip("/").split("/"):
        node = document[name] if name in document else node.get(name, node) if name else node
    return node


def strict(node: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema, in which an object has no field that is not described."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: strict(value) for name, value in node.items() if name not in ("nullable", "description")}
    if isinstance(made.get("properties"), dict):
        made |= {"additionalProperties": False, "required": made.get("required", sorted(made["properties"]))}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


def test_answers_are_as_described(world: InProcess, document: dict[str, Any]) -> None:
    """Intent: each status that is described is one that is answered, with an answer of its model, field by field."""
    components = strict(document["components"]["schemas"])
    shown: set[tuple[str, str, int]] = set()
    for verb, path, response in answers(world):
        operation = described(document)[verb, path]
        assert str(response.status_code) in operation["responses"], (verb, path, response.status_code, response.text)
        content = operation["responses"][str(response.status_code)]["content"]
        if "application/json" in content:
            model = strict(content["application/json"]["schema"]) | {"components": {"schemas": components}}
            jsonschema.validate(response.json, model)
        else:
            assert response.content_type.startswith("text/plain")
        shown.add((verb, path, response.status_code))
    whole = {(*route, int(code)) for route, operation in described(document).items() for code in operation["responses"]}
    assert whole - shown == set()


def answers(world: InProcess) -> Iterator[tuple[str, str, Any]]:
    """An answer of each kind that a route has: verb, path in the document, response."""
    admin, anonymous = world.client(), world.app.test_client()
    add_gamma(world)
    gamma = world.client(*GAMMA)

    def ask(client: Any, verb: str, path: str, body: Any = None, /, **names: Any) -> tuple[str, str, Any]:
        url = BASE + path.format(**names)
        return verb, f"{BASE}{path.partition('?')[0]}", client.open(url, method=verb, json=body)

    reads = (
        "status",
        "health",
        "cache/statistics",
        "dashboard",
        "slow-queries",
        "alerts",
        "recommendations",
        "aggregates",
        "metrics",
    )
    bodies: dict[tuple[str, str], Any] = {("GET", f"/{name}"): None for name in reads}
    bodies |= {
        ("GET", "/plans/{fingerprint}"): None, ("GET", "/cache/warm-up/{run_id}"): None,
        ("POST", "/cache/warm-up"): {"charts": [1]},
        ("POST", "/cache/invalidate"): {"all": True}, ("POST", "/alerts"): RULE,
        ("PUT", "/alerts/{number}"): {"enabled": False}, ("DELETE", "/alerts/{number}"): None,
        ("POST", "/analyze-query"): {"query": "SELECT 1", "database": "what is asked"},
        ("POST", "/optimize-query"): {"query": "SELECT 1", "database": "what is asked"},
        **{("POST", f"/aggregates/{verb}"): {"database": "what is asked", **body} for verb, body in AGGREGATES.items()},
    }  # fmt: skip
    number = 0
    for (verb, path), body in bodies.items():
        answer = ask(admin, verb, path, body, run_id=RUN, number=number, fingerprint="f")
        number = answer[2].json["id"] if (verb, path) == ("POST", "/alerts") else number
        yield answer
    for client in (anonymous, gamma):
        yield from (
            ask(client, verb, path, body, run_id=RUN, number=1, fingerprint="f")
            for (verb, path), body in bodies.items()
        )
    for (verb, path), body in bodies.items():
        if body is not None:
            yield from (ask(admin, verb, path, bad, number=1) for bad in ({"no": "such field"}, HUGE))
    for verb, body in AGGREGATES.items():  # of a source that is away
        yield ask(admin, "POST", f"/aggregates/{verb}", {"database": "of a plan", **body})
    yield ask(admin, "GET", "/slow-queries?limit=0")
    yield ask(admin, "GET", "/cache/warm-up/{run_id}", run_id=uuid.UUID(int=8))
    yield ask(admin, "GET", "/plans/{fingerprint}", fingerprint="g")
    yield ask(admin, "DELETE", "/alerts/{number}", number=2**40)
    yield ask(admin, "PUT", "/alerts/{number}", {"enabled": False}, number="none")
    yield ask(session(world), "DELETE", "/alerts/{number}", number=1)
    with without_servers(world):
        yield from (
            ask(admin, verb, path, body, run_id=RUN, number=1, fingerprint="f") for (verb, path), body in bodies.items()
        )


def session(world: InProcess) -> Any:
    """A client that is known by its cookie, and sends no CSRF token."""
    client = world.client()
    token = client.get("/api/v1/security/csrf_token/").json["result"]
    client.post("/login/", data={"username": ADMIN, "password": PASSWORD, "csrf_token": token})
    del client.environ_base["HTTP_AUTHORIZATION"]
    return client


@contextmanager
def without_servers(world: InProcess) -> Iterator[None]:
    """Neither the log database nor the server of the stamps is there."""
    dead = make_region(f"redis://127.0.0.1:{free_port()}")
    database = LogDatabase(f"postgresql://u:p@127.0.0.1:{free_port()}/none")
    away = {
        EXTENSION: replace(world.package, database=database),
        FRESHNESS: replace(world.app.extensions[FRESHNESS], stamps=lambda: dead),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, extension in away.items():
            patch.setitem(world.app.extensions, name, extension)
        yield


def add_gamma(world: InProcess) -> None:
    """A user who may do nothing here."""
    from superset.extensions import security_manager

    name, password = GAMMA
    with world.app.app_context():
        if security_manager.find_user(name) is None:
            role = security_manager.find_role("Gamma")
            security_manager.add_user(name, "G", "G", "gamma@example.org", role, password)
