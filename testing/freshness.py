"""Six charts that show one table in six ways, or not at all, over real datasets of a running stack."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from testing.asking import layer
from testing.charts import database_id
from testing.serving import Client

READING = ("table", "view", "cte", "join", "annotated")  # charts that show the table in some way
TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}


@dataclass
class World:
    """A table of orders, what is made of it, and another table.

    Attributes:
        orders, other: names of the tables, in the schema public.
        datasets: ids by what they are over.
        charts: ids of saved charts, and of the layer of annotations under `layer`.
    """

    stack: Any
    admin: Client
    mark: str
    database: int
    datasets: dict[str, int] = field(default_factory=dict)
    charts: dict[str, int] = field(default_factory=dict)

    @property
    def orders(self) -> str:
        return f"orders_{self.mark}"

    @property
    def other(self) -> str:
        return f"other_{self.mark}"

    def body(self, name: str) -> dict[str, Any]:
        """The request of a chart."""
        dataset = {"annotated": "other", "noted": "other"}.get(name, name)
        query: dict[str, Any] = {"columns": [], "metrics": [TOTAL], "filters": [], "row_limit": 100}
        if name == "annotated":
            query["annotation_layers"] = [layer("table", self.charts["table"])]
        if name == "noted":
            query["annotation_layers"] = [layer("NATIVE", self.charts["layer"])]
        return {
            "datasource": {"id": self.datasets[dataset], "type": "table"}, "queries": [query],
            "form_data": {"viz_type": "table", "slice_id": self.charts.get(name)}, "result_type": "full",
            "result_format": "json",
        }  # fmt: skip

    def look(self, name: str, client: Client | None = None) -> tuple[bool, Any]:
        """Whether a chart was answered from the cache, and what it shows."""
        answer = (client or self.admin).post("/api/v1/chart/data", json=self.body(name))
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["result"]
        shown = result["data"][0]["total"]
        if name in ("annotated", "noted"):
            shown = (shown, result["annotation_data"]["a layer"]["records"])
        return bool(result["is_cached"]), shown

    def sql(self, statement: str) -> None:
        """Commit a statement in the source, past Superset."""
        with closing(psycopg2.connect(self.stack.examples_url)) as connection, connection:
            connection.cursor().execute(statement.format(orders=f"public.{self.orders}", other=f"public.{self.other}"))

    def add(self, amount: int) -> None:
        """Add an order, which nobody reports."""
        self.sql(f"INSERT INTO {{orders}} VALUES ({amount})")

    def made(self, path: str, body: dict[str, Any]) -> int:
        answer = self.admin.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def dataset(self, name: str, table: str, sql: str | None = None) -> None:
        body: dict[str, Any] = {"database": self.database, "schema": "public", "table_name": table}
        self.datasets[name] = self.made("/api/v1/dataset/", body if sql is None else body | {"sql": sql})


@contextmanager
def world(stack: Any) -> Iterator[World]:
    admin = Client(stack.url, stack.user, stack.password)
    made = World(stack, admin, uuid.uuid4().hex[:8], database_id(admin))
    made.sql("CREATE TABLE {orders} (amount int); INSERT INTO {orders} VALUES (1)")
    made.sql("CREATE TABLE {other} (amount int); INSERT INTO {other} VALUES (100)")
    made.sql(f"CREATE VIEW public.view_{made.mark} AS SELECT amount FROM {{orders}}")
    try:
        _fill(made)
        yield made
    finally:
        _empty(made)


def _fill(made: World) -> None:
    orders, other = made.orders, made.other
    made.dataset("table", orders)
    made.dataset("other", other)
    made.dataset("view", f"view_{made.mark}")
    # A CTE with the name of its own table, and names without a schema.
    made.dataset("cte", f"cte_{made.mark}", f"WITH {orders} AS (SELECT amount FROM {orders}) SELECT * FROM {orders}")
    there = f'WHERE EXISTS (SELECT 1 FROM "{orders}")'
    join = f"SELECT o.amount FROM public.{other} o {there} UNION ALL SELECT amount FROM {orders}"
    made.dataset("join", f"join_{made.mark}", join)
    made.charts["layer"] = made.made("/api/v1/annotation_layer/", {"name": f"layer {made.mark}", "descr": "d"})
    note = {"short_descr": "one", "start_dttm": "2026-01-01T00:00:00", "end_dttm": "2026-01-02T00:00:00"}
    made.made(f"/api/v1/annotation_layer/{made.charts['layer']}/annotation/", note)
    body = made.body("table")
    chart = {
        "slice_name": f"orders {made.mark}", "viz_type": "table", "datasource_id": made.datasets["table"],
        "datasource_type": "table", "params": "{}",
        "query_context": json.dumps(body | {"form_data": {"viz_type": "table"}, "force": False}),
    }  # fmt: skip
    made.charts["table"] = made.made("/api/v1/chart/", chart)


def _empty(made: World) -> None:
    if "table" in made.charts:
        made.admin.http.delete(f"{made.admin.base}/api/v1/chart/{made.charts['table']}")
    if "layer" in made.charts:
        made.admin.http.delete(f"{made.admin.base}/api/v1/annotation_layer/{made.charts['layer']}")
    for dataset in made.datasets.values():
        made.admin.http.delete(f"{made.admin.base}/api/v1/dataset/{dataset}")
    made.sql("DROP TABLE {orders}, {other} CASCADE")
