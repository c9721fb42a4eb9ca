"""What is revoked is revoked at the very next request, whatever the cache holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testing.charts import Chart, dataset_id
from testing.serving import Client

PASSWORD = "inside-1!"


@dataclass
class World:
    """A user whose only right on the births comes from one role."""

    admin: Client
    user: Client
    user_id: int
    role: int
    gamma: int
    dataset: int
    permission: int
    chart: Chart

    def look(self) -> tuple[int, bool, set[str]]:
        """The status of the user's request, whether it was a hit, and the genders that are shown."""
        answer = self.chart.ask(self.user)
        if answer.status_code != 200:
            return answer.status_code, False, set()
        (result,) = answer.json()["result"]
        return 200, bool(result["is_cached"]), {row["gender"] for row in result["data"]}

    def may(self, permissions: list[int]) -> None:
        done = self.admin.post(
            f"/api/v1/security/roles/{self.role}/permissions", json={"permission_view_menu_ids": permissions}
        )
        assert done.status_code == 200, done.text

    def roles(self, roles: list[int]) -> None:
        done = self.admin.http.put(
            f"{self.admin.base}/api/v1/security/users/{self.user_id}", json={"roles": roles}, timeout=60
        )
        assert done.status_code == 200, done.text


@pytest.fixture
def world(superset_stack: Any) -> Iterator[World]:
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    mark = uuid.uuid4().hex[:6]
    dataset = dataset_id(admin, "birth_names")
    role = _made(admin, "/api/v1/security/roles/", {"name": f"births-{mark}"})
    gamma = next(
        role["id"]
        for role in admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
        if role["name"] == "Gamma"
    )
    body = {
        "username": f"reader-{mark}", "password": PASSWORD, "first_name": "r", "last_name": "T", "active": True,
        "email": f"reader-{mark}@example.org", "roles": [gamma, role],
    }  # fmt: skip
    user_id = _made(admin, "/api/v1/security/users/", body)
    user = Client(admin.base, f"reader-{mark}", PASSWORD)
    permission = _permission(admin, dataset)
    made = World(
        admin, user, user_id, role, gamma, dataset, permission,
        Chart(dataset, "gender", 2000 + int(mark[:4], 16), 1, 1),
    )  # fmt: skip
    made.may([permission])
    yield made
    admin.http.delete(f"{admin.base}/api/v1/security/users/{user_id}")
    admin.http.delete(f"{admin.base}/api/v1/security/roles/{role}")


def _made(admin: Client, path: str, body: dict[str, Any]) -> int:
    made = admin.post(path, json=body)
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


def _permission(admin: Client, dataset: int) -> int:
    """Id of the right to read a dataset."""
    page = 0
    while True:
        path = f"/api/v1/security/permissions-resources/?q=(page:{page},page_size:100)"
        permissions = admin.get(path).json()["result"]
        assert permissions, "Superset has no such permission"
        for permission in permissions:
            name = permission["view_menu"]["name"]
            if permission["permission"]["name"] == "datasource_access" and name.endswith(f"(id:{dataset})"):
                return int(permission["id"])
        page += 1


def test_a_right_that_is_revoked(world: World) -> None:
    """Intent: an answer that the user has had, and that is cached, is refused from now on."""
    assert world.look() == (200, False, {"boy", "girl"})
    assert world.look() == (200, True, {"boy", "girl"})
    world.may([])
    assert world.look()[0] == 403
    world.may([world.permission])
    assert world.look() == (200, True, {"boy", "girl"})


def test_a_role_that_is_removed(world: World) -> None:
    """Intent: likewise."""
    world.look()
    assert world.look()[1]
    world.roles([world.gamma])
    assert world.look()[0] == 403


def test_a_row_level_rule_that_is_added(world: World) -> None:
    """Intent: the next request has the rows of the rule, and no other."""
    world.look()
    assert world.look() == (200, True, {"boy", "girl"})
    body = {
        "name": f"rule-{uuid.uuid4().hex[:6]}", "filter_type": "Regular", "tables": [world.dataset],
        "roles": [world.role], "clause": "gender = 'boy'",
    }  # fmt: skip
    rule = _made(world.admin, "/api/v1/rowlevelsecurity/", body)
    try:
        assert world.look() == (200, False, {"boy"})
    finally:
        world.admin.http.delete(f"{world.admin.base}/api/v1/rowlevelsecurity/?q=!({rule})")
    assert world.look() == (200, True, {"boy", "girl"})
