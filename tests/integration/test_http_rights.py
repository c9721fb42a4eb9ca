"""Nobody sees more: GET `explore_json` answers by the asker's rights, whoever has asked before."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from testing.serving import Client

OLD_CHARTS = {
    "bubble", "cal_heatmap", "chord", "compare", "country_map", "horizon", "mapbox", "paired_ttest", "para",
    "partition", "rose", "time_pivot", "time_table", "world_map",
}  # fmt: skip


@pytest.fixture
def admin(superset_stack: Any) -> Client:
    return Client(superset_stack.url, superset_stack.user, superset_stack.password)


@pytest.fixture
def outsider(admin: Client) -> Client:
    """A user with the role Gamma, which opens no dataset."""
    roles = admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    gamma = next(r["id"] for r in roles if r["name"] == "Gamma")
    name = f"u{uuid.uuid4().hex[:8]}"
    made = admin.post(
        "/api/v1/security/users/",
        json={
            "username": name, "password": "outside-1!", "first_name": "Out", "last_name": "Sider",
            "email": f"{name}@example.org", "active": True, "roles": [gamma],
        },
    )  # fmt: skip
    assert made.status_code == 201, made.text
    return Client(admin.base, name, "outside-1!")


def old_chart(admin: Client) -> str:
    """The path of GET explore_json for one of the examples' old charts."""
    charts = admin.get("/api/v1/chart/?q=(page_size:200)").json()["result"]
    chart = next(c for c in charts if c["viz_type"] in OLD_CHARTS)
    params = json.loads(admin.get(f"/api/v1/chart/{chart['id']}").json()["result"]["params"])
    form = params | {"slice_id": chart["id"], "datasource": f"{chart['datasource_id']}__table"}
    return "/superset/explore_json/?form_data=" + json.dumps(form, separators=(",", ":")).replace("&", "%26")


def test_an_admins_answer_is_not_handed_to_a_user_without_rights(admin: Client, outsider: Client) -> None:
    """Intent: stock's etag_cache wraps the permission check without the user in its key; nothing is stored here."""
    path = old_chart(admin)
    before = outsider.get(path)
    for _ in range(2):
        assert admin.get(path).status_code == 200
    after = outsider.get(path)
    assert before.status_code == after.status_code == 403
    assert after.text == before.text


def test_a_csrf_token_is_asked_for(admin: Client) -> None:
    """Intent: everything here is shown with Superset's CSRF protection on."""
    token = admin.http.headers.pop("X-CSRFToken")
    try:
        refused = admin.post("/api/v1/sqllab/execute/", json={})
        assert refused.status_code == 400
        assert "CSRF" in refused.text
    finally:
        admin.http.headers["X-CSRFToken"] = token
