"""`SUPERSET_EXT_API_TOKEN` opens three resources, and nothing else of the whole app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from superset_ext.package import EXTENSION
from testing.in_process import InProcess

BASE = "/api/v1/performance"
TOKEN = "a token of the test, 32 characters"
OPENED = {
    ("GET", f"{BASE}/metrics"),
    ("POST", f"{BASE}/cache/invalidate"),
    ("POST", f"{BASE}/cache/warm-up"),
    ("GET", f"{BASE}/cache/warm-up/<run_id>"),
}
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Rule = tuple[str, str]


@pytest.fixture
def app(superset_app: InProcess) -> Iterator[Any]:
    package = superset_app.package
    settings = package.settings.model_copy(update={"api_token": TOKEN})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(superset_app.app.extensions, EXTENSION, replace(package, settings=settings))
        yield superset_app.app


def rules(app: Any) -> list[tuple[Rule, str]]:
    """Each rule of the app with each of its verbs, and a path that it serves."""
    values = {"IntegerConverter": 1, "UUIDConverter": "00000000-0000-0000-0000-000000000007"}
    made = []
    for rule in app.url_map.iter_rules():
        arguments = {name: values.get(type(rule._converters[name]).__name__, "1") for name in rule.arguments}
        built = rule.build(arguments | (rule.defaults or {}), append_unknown=False)
        assert built is not None, rule
        made += [((verb, rule.rule), built[1]) for verb in VERBS if verb in rule.methods]
    assert len(made) > 300
    return made


def test_the_token_opens_what_it_is_for_and_no_other_route(app: Any) -> None:
    """Intent: on every route of the app, Superset's own and those to come, the token is worth what a wrong one is."""

    def status(verb: str, path: str, token: str) -> int:
        answer = app.test_client().open(path, method=verb, headers={"Authorization": f"Bearer {token}"}, json={})
        return int(answer.status_code)

    differ = {rule for rule, path in rules(app) if status(rule[0], path, TOKEN) != status(rule[0], path, TOKEN[:-1])}
    assert differ == OPENED


def test_each_other_route_of_the_package_refuses_it(app: Any) -> None:
    """Intent: the answer to a token that is not taken is the one to nobody."""
    answers = {
        rule: app.test_client().open(path, method=rule[0], headers={"Authorization": f"Bearer {TOKEN}"}, json={})
        for rule, path in rules(app)
        if rule[1].startswith(BASE) and rule not in OPENED
    }
    assert len(answers) > 8
    assert {rule: answer.status_code for rule, answer in answers.items()} == dict.fromkeys(answers, 401)
