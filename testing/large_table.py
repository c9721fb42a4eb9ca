"""A dashboard on a table of five million rows without an index, as somebody makes one in Superset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from testing.charts import database_id
from testing.serving import Client
from testing.stack import RunningStack

TABLE = "large_orders"
ROWS = 5_000_000
# Rows come in the order of their time, as orders do; customers and towns in none.
_MADE = f"""
CREATE TABLE {TABLE} AS SELECT i AS id, timestamp '2023-01-01' + i * interval '15 seconds' AS ordered_at,
    (i::bigint * 7919 % 50000)::int AS customer_id, 'town ' || i::bigint * 7907 % 40 AS town,
    (i % 977)::numeric(10, 2) AS amount
FROM generate_series(1, {ROWS}) AS i;
VACUUM ANALYZE {TABLE}
"""
_TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}


def _only(column: str, operator: str, value: Any) -> dict[str, Any]:
    return {"expressionType": "SIMPLE", "clause": "WHERE", "subject": column, "operator": operator, "comparator": value}


# Each chart's controls. The last one reads all rows, whatever there is.
CHARTS: Mapping[str, dict[str, Any]] = {
    "Total of a customer": {"adhoc_filters": [_only("customer_id", "==", 4711)]},
    "Total of a week": {"adhoc_filters": [_only("ordered_at", "TEMPORAL_RANGE", "2024-03-04 : 2024-03-11")]},
    "Total of all": {"adhoc_filters": []},
}


@dataclass(frozen=True)
class Large:
    """The dashboard, its dataset and its charts by their names: Superset's ids."""

    dashboard: int
    dataset: int
    charts: Mapping[str, int]


@contextmanager
def large_table(stack: RunningStack) -> Iterator[Large]:
    """The table in the examples' database, with a dashboard; both are gone afterwards."""
    _run(stack, _MADE)
    client = Client(stack.url, stack.user, stack.password)
    made: list[str] = []
    try:
        yield _dashboard(client, made)
    finally:
        for path in reversed(made):
            client.http.delete(f"{client.base}{path}", timeout=120)
        _run(stack, f"DROP TABLE {TABLE}")


def _run(stack: RunningStack, sql: str) -> None:
    with closing(psycopg2.connect(stack.examples_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in sql.split(";"):
                cursor.execute(statement)


def _dashboard(client: Client, made: list[str]) -> Large:
    def new(kind: str, **values: Any) -> int:
        answer = client.post(f"/api/v1/{kind}/", json=values)
        assert answer.status_code == 201, answer.text
        number = int(answer.json()["id"])
        made.append(f"/api/v1/{kind}/{number}")
        return number

    dataset = new("dataset", database=database_id(client), schema="public", table_name=TABLE)
    board = new("dashboard", dashboard_title="Large orders")
    charts = {
        name: new(
            "chart", slice_name=name, viz_type="big_number_total", datasource_id=dataset, datasource_type="table",
            dashboards=[board], params=json.dumps({"metric": _TOTAL, "viz_type": "big_number_total", **controls}),
        )
        for name, controls in CHARTS.items()
    }  # fmt: skip
    position = json.dumps(_position(charts))
    answer = client.http.put(f"{client.base}/api/v1/dashboard/{board}", json={"position_json": position}, timeout=120)
    assert answer.status_code == 200, answer.text
    return Large(board, dataset, charts)


def _position(charts: Mapping[str, int]) -> dict[str, Any]:
    """One row with all charts."""
    names = {f"CHART-{number}": (name, number) for name, number in charts.items()}
    items: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": ["ROW-1"], "parents": ["ROOT_ID"]},
        "ROW-1": {"id": "ROW-1", "type": "ROW", "children": list(names), "parents": ["ROOT_ID", "GRID_ID"],
                  "meta": {"background": "BACKGROUND_TRANSPARENT"}},
    }  # fmt: skip
    for key, (name, number) in names.items():
        items[key] = {
            "id": key, "type": "CHART", "children": [], "parents": ["ROOT_ID", "GRID_ID", "ROW-1"],
            "meta": {"chartId": number, "width": 4, "height": 40, "sliceName": name},
        }  # fmt: skip
    return items
