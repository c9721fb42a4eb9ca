"""Embedded pages: a guest's access scope is warmed from its claims, and apart from everybody else's."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from testing.charts import Chart, dataset_id
from testing.programs import program
from testing.serving import Client

pytestmark = pytest.mark.timeout(240)
# In a process of its own: Superset's app is one a process, and embedding is off in the stack.
ASK = """
import json, sys
from superset.app import create_app
app = create_app()
body, rules, dashboard, admin = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with app.app_context():
    from superset.daos.dashboard import DashboardDAO, EmbeddedDashboardDAO
    from superset.extensions import db
    page = DashboardDAO.find_by_id(dashboard, skip_base_filter=True)
    embedded = EmbeddedDashboardDAO.upsert(page, [])
    db.session.commit()
    uuid = str(embedded.uuid)
from superset_ext.warm.run.replay import replay
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.host.people import Identity
request = ChartRequest("data", "/api/v1/chart/data", "", body)
resources = [{"type": "dashboard", "id": uuid}]
claims = {"user": {"username": "g"}, "resources": resources, "exp": 1}
guests = [Identity.of_claims({**claims, "rls_rules": rule}) for rule in rules]
stranger = Identity.of_claims({**claims, "resources": [{"type": "dashboard", "id": "0" * 8}], "rls_rules": []})
for identity in (Identity(admin), *guests, stranger):
    done = replay(app, request, identity, refresh=True)
    rows = []
    if not done.error:
        with app.app_context():
            from superset.extensions import cache_manager
            rows = cache_manager.data_cache.get(done.answers[0].key)["df"].to_dict("records")
    print("SAID " + json.dumps({"error": done.error, "keys": [a.key for a in done.answers], "rows": rows}, default=str))
"""


def test_guests_are_warmed_with_their_own_rules(superset_stack: Any) -> None:
    """Intent: two guests with other rules and a user have three keys, each with its own rows; a stranger has none."""
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    births = dataset_id(admin, "birth_names")
    chart = next(
        chart
        for chart in admin.get("/api/v1/chart/?q=(page_size:200)").json()["result"]
        if chart["datasource_id"] == births and chart["viz_type"] == "pie"
    )
    whole = admin.get(f"/api/v1/chart/{chart['id']}").json()["result"]
    dashboard, params = whole["dashboards"][0]["id"], json.loads(whole["params"])
    body = Chart(births, params["groupby"][0], 10, chart["id"], dashboard).body()
    body["queries"][0] |= {"metrics": [params["metric"]], "orderby": []}
    rules = [[{"dataset": births, "clause": f"gender = '{gender}'"}] for gender in ("boy", "girl")]
    results = asked(superset_stack, body, rules, dashboard)
    own, boys, girls, stranger = results
    assert [result["error"] for result in (own, boys, girls)] == [None] * 3
    assert len({result["keys"][0] for result in (own, boys, girls)}) == 3
    seen = [{row["gender"] for row in result["rows"]} for result in (own, boys, girls)]
    assert seen == [{"boy", "girl"}, {"boy"}, {"girl"}]
    assert stranger["error"] and not stranger["keys"]


def asked(stack: Any, body: dict[str, Any], rules: list[Any], dashboard: int) -> list[dict[str, Any]]:
    environment = os.environ | stack.env | {"SUPERSET_FEATURE_EMBEDDED_SUPERSET": "true"}
    arguments = (json.dumps(body), json.dumps(rules), str(dashboard), "1")
    done = subprocess.run(
        [program("python"), "-c", ASK, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("SAID ")) for line in done.stdout.splitlines() if line.startswith("SAID ")]
