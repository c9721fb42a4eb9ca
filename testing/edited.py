"""Datasets of a Superset of this process (`testing/in_process.py`), and the changes that it tells meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext import events
from superset_ext.freshness.change import Change
from testing.in_process import InProcess


@contextmanager
def heard() -> Iterator[list[Change]]:
    """The changes that are stamped within the block."""
    changes: list[Change] = []

    def hear(_source: str, event: Any) -> None:
        changes.append(event.change)

    events.changed.connect(hear, weak=False)
    try:
        yield changes
    finally:
        events.changed.disconnect(hear)


def run(url: str, *statements: str) -> list[Any]:
    """Run statements in one transaction; the rows of the last one where it has some."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


class Sources:
    """Databases and datasets of a Superset, made and removed within a test. Needs an app context."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def database(self, name: str, url: str, **options: Any) -> int:
        """Superset's id of a new database."""
        from superset.models.core import Database

        made = Database(database_name=name, expose_in_sqllab=True, allow_dml=True, allow_ctas=True, **options)
        made.set_sqlalchemy_uri(url)
        return self._add(made)

    def dataset(self, database_id: int, name: str, sql: str | None = None, schema: str | None = "public") -> int:
        """Superset's id of a new dataset with the columns `owner` and `v` and the metric `total`."""
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn

        made = SqlaTable(table_name=name, schema=schema, database_id=database_id, sql=sql)
        made.columns = [TableColumn(column_name="owner", type="TEXT"), TableColumn(column_name="v", type="INT")]
        made.metrics = [SqlMetric(metric_name="total", expression="sum(v)")]
        return self._add(made)

    def _add(self, made: Any) -> int:
        from superset.extensions import db

        db.session.add(made)
        db.session.commit()
        self._made.append((type(made), made.id))
        return int(made.id)

    def remove(self) -> None:
        """Remove all again, as far as the test has not."""
        from superset.extensions import db

        db.session.rollback()
        for model, number in reversed(self._made):
            if (row := db.session.get(model, number)) is not None:
                db.session.delete(row)
                db.session.commit()


def asked(client: Any, dataset_id: int) -> tuple[list[Any], bool]:
    """The rows of a chart that shows `owner` and `v`, and whether they came from the cache."""
    query = {"columns": ["owner", "v"], "metrics": [], "orderby": [["owner", True], ["v", True]], "row_limit": 100}
    body = {"datasource": {"id": dataset_id, "type": "table"}, "queries": [query]}
    answer = client.post("/api/v1/chart/data", json=body)
    assert answer.status_code == 200, answer.json
    (result,) = answer.json["result"]
    return [(row["owner"], row["v"]) for row in result["data"]], bool(result["is_cached"])


def editing(superset: InProcess) -> Any:
    """A client of the administrator's that Superset lets edit."""
    client = superset.client()
    client.environ_base["HTTP_X_CSRFTOKEN"] = client.get("/api/v1/security/csrf_token/").json["result"]
    return client
