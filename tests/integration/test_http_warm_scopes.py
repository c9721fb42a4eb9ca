"""Each access scope is warmed as a user who has it, and nobody gets another one's rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testing.charts import Chart, dataset_id
from testing.serving import Client
from testing.warming import cool, forget, rows, until, warm_up, warmed

pytestmark = pytest.mark.timeout(900)
PASSWORD = "inside-1!"
BOYS, GIRLS = {"boy"}, {"girl"}
COLUMNS = ("gender", "state", "name")


@dataclass
class World:
    """Two rules, one a role, over the births; who has a role sees one gender, who has none both.

    Attributes:
        users: `boys`, `girls`, `all` and `newcomer`, who has the role of `boys`.
    """

    stack: Any
    admin: Client
    dataset: int
    rules: dict[str, int]
    users: dict[str, Client]
    marker: int

    def charts(self) -> list[Chart]:
        return [Chart(self.dataset, column, self.marker, 1, 1) for column in COLUMNS]

    def look(self, name: str) -> list[dict[str, Any]]:
        """What a user's visit is answered, chart by chart."""
        answers = [chart.ask(self.users[name]) for chart in self.charts()]
        assert {answer.status_code for answer in answers} == {200}, answers[0].text
        return [answer.json()["result"][0] for answer in answers]


def genders(results: list[dict[str, Any]]) -> set[str]:
    return {row["gender"] for row in results[0]["data"]}


@pytest.fixture(scope="module")
def world(superset_stack: Any) -> Iterator[World]:
    forget(superset_stack)
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    dataset = dataset_id(admin, "birth_names")
    mark = uuid.uuid4().hex[:6]
    alpha = _roles(admin)["Alpha"]
    roles = {name: _made(admin, "/api/v1/security/roles/", {"name": f"{name}-{mark}"}) for name in ("boys", "girls")}
    rules = {name: _rule(admin, f"{name}-{mark}", dataset, roles[name], name.removesuffix("s")) for name in roles}
    wanted = {"boys": [roles["boys"]], "girls": [roles["girls"]], "all": [], "newcomer": [roles["boys"]]}
    users = {name: _user(admin, f"{name}-{mark}", [alpha, *own]) for name, own in wanted.items()}
    # A row limit that nobody else uses makes the charts this test's own.
    yield World(superset_stack, admin, dataset, rules, users, 1000 + int(mark[:3], 16))
    forget(superset_stack)  # of users who are gone
    admin.http.delete(f"{admin.base}/api/v1/rowlevelsecurity/?q=!({','.join(map(str, rules.values()))})")


def _roles(admin: Client) -> dict[str, int]:
    roles = admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    return {role["name"]: role["id"] for role in roles}


def _made(admin: Client, path: str, body: dict[str, Any]) -> int:
    made = admin.post(path, json=body)
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


def _rule(admin: Client, name: str, dataset: int, role: int, gender: str) -> int:
    body = {
        "name": name, "filter_type": "Regular", "tables": [dataset], "roles": [role], "clause": f"gender = '{gender}'",
    }  # fmt: skip
    return _made(admin, "/api/v1/rowlevelsecurity/", body)


def _user(admin: Client, name: str, roles: list[int]) -> Client:
    body = {
        "username": name, "password": PASSWORD, "first_name": name, "last_name": "T", "email": f"{name}@example.org",
        "active": True, "roles": roles,
    }  # fmt: skip
    _made(admin, "/api/v1/security/users/", body)
    return Client(admin.base, name, PASSWORD)


def _warmed(world: World) -> None:
    cool(world.stack)
    warmed(world.admin, datasets=[world.dataset])


def test_three_users_visit_and_all_is_theirs_and_warm(world: World) -> None:
    """Intent: after warming, each user's first visit is all hits, and each sees the rows of the own rule only."""
    for name in ("boys", "girls", "all"):
        assert not any(result["is_cached"] for result in world.look(name))
    scopes = (
        "SELECT count(*) FROM superset_ext.cache_access_scope s JOIN superset_ext.cache_request USING (fingerprint)"
    )
    until(lambda: rows(world.stack, f"{scopes} WHERE body LIKE %s", (f'%"row_limit": {world.marker}%',))[0][0] == 9)
    _warmed(world)
    for name, seen in (("boys", BOYS), ("girls", GIRLS), ("all", BOYS | GIRLS), ("newcomer", BOYS)):
        results = world.look(name)
        assert all(result["is_cached"] for result in results), name
        assert genders(results) == seen


def test_with_the_rule_changed_no_old_entry_is_served(world: World) -> None:
    """Intent: a new rule leads to new keys at once, and warming again warms those."""
    path = f"/api/v1/rowlevelsecurity/{world.rules['boys']}"
    rule = world.admin.get(path).json()["result"]
    body = {name: [one["id"] for one in rule[name]] for name in ("tables", "roles")}  # left out, they would be emptied
    put = world.admin.http.put(f"{world.admin.base}{path}", json=body | {"clause": "gender IN ('girl')"})
    assert put.status_code == 200, put.text
    results = world.look("boys")
    assert not any(result["is_cached"] for result in results)
    assert genders(results) == GIRLS
    _warmed(world)
    assert all(result["is_cached"] for result in world.look("boys"))
    assert genders(world.look("boys")) == GIRLS
    assert genders(world.look("all")) == BOYS | GIRLS


def test_a_user_who_was_deactivated_is_an_item_s_reason(world: World) -> None:
    """Intent: nobody is warmed for by somebody else; the run names who has gone."""
    body = {"active": False}
    (user,) = rows(
        world.stack, "SELECT id FROM public.ab_user WHERE username LIKE 'girls-%%' AND active ORDER BY id DESC LIMIT 1"
    )
    put = world.admin.http.put(f"{world.admin.base}/api/v1/security/users/{user[0]}", json=body)
    assert put.status_code == 200, put.text
    cool(world.stack)
    status = warm_up(world.admin, datasets=[world.dataset])
    assert (status["state"], status["failed"] > 0) == ("done", True), status
    assert any("is deactivated" in failure["reason"] for failure in status["failures"]), status
