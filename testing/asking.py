"""Charts over a PostgreSQL of the test's own, asked within this process: what was cached, and what it shows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.sqltables.table import Table
from testing.in_process import ADMIN, InProcess

TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(v)", "label": "total"}


class Asking:
    """Superset's objects over one source, and questions to them.

    Attributes:
        url: of the source.
        database_id: Superset's id of it.
        name: Superset's name of it.
    """

    def __init__(self, superset: InProcess, url: str, uri: str | None = None) -> None:
        self.app, self.url, self.name = superset.app, url, f"source_{uuid.uuid4().hex[:8]}"
        self.database_id = self.database(self.name, uri or url)

    def database(self, name: str, uri: str) -> int:
        """Add a database to Superset; its id."""
        from superset.extensions import db
        from superset.models.core import Database

        with self.app.app_context():
            made = Database(database_name=name, allow_dml=True)
            made.set_sqlalchemy_uri(uri)
            db.session.add(made)
            db.session.commit()
            return int(made.id)

    def sql(self, statement: str) -> None:
        """Commit a statement in the source, past Superset."""
        with closing(psycopg2.connect(self.url)) as connection, connection:
            connection.cursor().execute(statement)

    def dataset(self, table: str, sql: str | None = None, **more: Any) -> int:
        """Add a dataset over a table, or a virtual one; its id."""
        from superset.connectors.sqla.models import SqlaTable, TableColumn
        from superset.extensions import db

        with self.app.app_context():
            values: dict[str, Any] = {"database_id": self.database_id, "schema": "public", "sql": sql, **more}
            made = SqlaTable(table_name=table, **values)
            made.columns = [TableColumn(column_name="v", type="INT")]
            db.session.add(made)
            db.session.commit()
            return int(made.id)

    def body(self, dataset: int, **query: Any) -> dict[str, Any]:
        """A request for the total of a dataset."""
        asked = {"columns": [], "metrics": [TOTAL], "filters": [], "row_limit": 100, **query}
        return {
            "datasource": {"id": dataset, "type": "table"}, "queries": [asked], "result_type": "full",
            "result_format": "json", "form_data": {},
        }  # fmt: skip

    def answer(self, body: dict[str, Any], user: str = ADMIN) -> dict[str, Any]:
        """Superset's answer to the one query of a request."""
        from superset.charts.schemas import ChartDataQueryContextSchema
        from superset.commands.chart.data.get_data_command import ChartDataCommand
        from superset.extensions import security_manager
        from superset.utils.core import override_user

        body = json.loads(json.dumps(body))
        with (
            self.app.app_context(),
            self.app.test_request_context("/api/v1/chart/data", method="POST", json=body),
            override_user(security_manager.find_user(user)),
        ):
            command = ChartDataCommand(ChartDataQueryContextSchema().load(body))
            command.validate()
            result: dict[str, Any] = command.run()["queries"][0]
        assert not result.get("error"), result["error"]
        return result

    def ask(self, dataset: int, **query: Any) -> tuple[bool, Any]:
        """Whether a dataset's total was cached, and the total."""
        result = self.answer(self.body(dataset, **query))
        return bool(result["is_cached"]), result["data"][0]["total"]

    def chart(self, dataset: int, **query: Any) -> int:
        """Save a chart of a dataset's total; its id."""
        from superset.extensions import db
        from superset.models.slice import Slice

        with self.app.app_context():
            context = json.dumps(self.body(dataset, **query))
            made = Slice(slice_name="a chart", viz_type="table", datasource_id=dataset, datasource_type="table",
                         params="{}", query_context=context)  # fmt: skip
            db.session.add(made)
            db.session.commit()
            return int(made.id)

    def told(self, *tables: str, database_id: int | None = None, **named: Any) -> None:
        """Tell that tables of the schema public, or what is named, changed."""
        place = database_id or self.database_id
        with self.app.app_context():
            sources = tuple(SourceTable(place, Table("public", table)) for table in tables)
            changed(Change("webhook", "data_update", tables=sources, **named))

    @contextmanager
    def edited(self, kind: type, number: int) -> Iterator[Any]:
        """One of Superset's objects, committed at the end."""
        from superset.extensions import db

        with self.app.app_context():
            yield db.session.get(kind, number)
            db.session.commit()


def layer(source: str, value: int) -> dict[str, Any]:
    """An annotation layer of a chart: `NATIVE` for Superset's own, `table` for a chart."""
    return {
        "name": "a layer", "annotationType": "EVENT", "sourceType": source, "value": value, "show": True,
        "showLabel": False, "showMarkers": False, "overrides": {}, "style": "solid", "titleColumn": "",
        "timeColumn": "", "descriptionColumns": [],
    }  # fmt: skip
