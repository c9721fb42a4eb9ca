"""Chart requests made by hand, for tests that need no browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from testing.serving import Client


def dataset_id(client: Client, table: str) -> int:
    """Superset's id of an example dataset."""
    query = f"(filters:!((col:table_name,opr:eq,value:{table})))"
    return int(client.get(f"/api/v1/dataset/?q={query}").json()["result"][0]["id"])


def database_id(client: Client, name: str = "examples") -> int:
    """Superset's id of a database."""
    databases = client.get("/api/v1/database/").json()["result"]
    return int(next(d["id"] for d in databases if d["database_name"] == name))


@dataclass(frozen=True)
class Chart:
    """A chart over the example births: one row a value of `column`."""

    dataset: int
    column: str = "gender"
    limit: int = 100
    chart_id: int = 1
    dashboard_id: int = 1

    def body(self, *, force: bool = False) -> dict[str, Any]:
        return {
            "datasource": {"id": self.dataset, "type": "table"},
            "queries": [
                {
                    "columns": [self.column],
                    "metrics": ["sum__num"],
                    "filters": [],
                    "orderby": [["sum__num", False], [self.column, True]],
                    "row_limit": self.limit,
                }
            ],
            "form_data": {"slice_id": self.chart_id, "dashboardId": self.dashboard_id, "viz_type": "table"},
            "result_type": "full",
            "result_format": "json",
            "force": force,
        }

    def ask(self, client: Client, *, force: bool = False) -> requests.Response:
        return client.post("/api/v1/chart/data", json=self.body(force=force))
