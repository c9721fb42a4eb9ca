"""What people may list, open, ask and run: over HTTP, with Superset's own roles.

Runs in a process with a Superset app (see `testing/superset_app.py`), with the package or without: stock Superset is
the oracle for all that is not the package's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

PASSWORD = "inside-1!"
# A name, its roles, and the person's own grants.
PEOPLE = {
    "admin": ["Admin"],
    "alpha_lab": ["Alpha", "sql_lab"],
    "gamma": ["Gamma"],
    "team": ["Gamma", "team"],
    "lab": ["Gamma", "sql_lab", "source"],
    "reader": ["Gamma", "reader"],
}
LISTS = ("dashboard", "chart", "dataset", "database")
TABLE = "CREATE TABLE sales (region text, v int); INSERT INTO sales VALUES ('north', 1), ('south', 2)"


class People:
    """Superset's users, and dashboards over one dataset: published or not, for a role or for all."""

    def __init__(self, app: Any, source: Any) -> None:
        from superset.extensions import appbuilder, security_manager

        self.app = app
        self._tokens: dict[str, str] = {}
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        with source.get_sqla_engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql(TABLE)
        self.source_id = source.id
        self._things(source)
        self._grants(source)
        for name, roles in PEOPLE.items():
            self.add(name, roles)

    def add(self, name: str, roles: list[str]) -> None:
        """Add a person; a role that is not there is made."""
        from superset.extensions import db, security_manager

        granted = [security_manager.add_role(role) for role in roles]
        security_manager.add_user(name, name, name, f"{name}@example.org", granted, password=PASSWORD)
        db.session.commit()

    def _things(self, source: Any) -> None:
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
        from superset.extensions import db, security_manager
        from superset.models.dashboard import Dashboard
        from superset.models.slice import Slice

        for name, sql in (("sales", None), ("virtual", "SELECT region, v FROM sales")):
            dataset = SqlaTable(table_name=name, database_id=source.id, schema="public", sql=sql)
            dataset.columns = [TableColumn(column_name="region", type="TEXT"), TableColumn(column_name="v", type="INT")]
            dataset.metrics = [SqlMetric(metric_name="total", expression="sum(v)")]
            db.session.add(dataset)
            db.session.commit()
            chart = Slice(
                slice_name=name, viz_type="table", datasource_id=dataset.id, datasource_type="table", params="{}"
            )
            db.session.add(chart)
        db.session.commit()
        (chart,) = db.session.query(Slice).filter_by(slice_name="sales")
        for published, role in ((True, None), (True, "team"), (False, "team")):
            made = Dashboard(
                dashboard_title=f"{published} {role}", slug=f"sales-{published}-{role}".lower(), slices=[chart],
                published=published, json_metadata="{}", position_json="{}",
            )  # fmt: skip
            made.roles = [security_manager.add_role(role)] if role else []
            db.session.add(made)
        db.session.commit()

    def _grants(self, source: Any) -> None:
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db, security_manager

        dataset = db.session.query(SqlaTable).filter_by(table_name="sales").one()
        for role, kind, perm in (
            ("reader", "datasource_access", dataset.perm),
            ("source", "database_access", source.perm),
        ):
            right = security_manager.add_permission_view_menu(kind, perm)
            security_manager.add_permission_role(security_manager.add_role(role), right)

    def ask(self, name: str | None, verb: str, path: str, body: Any = None) -> Any:
        """Superset's response to a person, or to nobody who has logged in."""
        with self.app.app_context():
            headers = {} if name is None else {"Authorization": f"Bearer {self._token(name)}"}
        with self.app.app_context():
            return self.app.test_client().open(path, method=verb, json=body, headers=headers)

    def _token(self, name: str) -> str:
        if name not in self._tokens:
            login = {"username": name, "password": PASSWORD, "provider": "db"}
            answer = self.app.test_client().post("/api/v1/security/login", json=login)
            self._tokens[name] = answer.json["access_token"]
        return self._tokens[name]

    def listed(self, name: str | None, kind: str) -> list[str]:
        """Names of what a list shows."""
        answer = self.ask(name, "GET", f"/api/v1/{kind}/?q=(page_size:500)")
        field = {"dashboard": "dashboard_title", "chart": "slice_name", "dataset": "table_name"}.get(
            kind, "database_name"
        )
        if answer.status_code != 200:
            return [str(answer.status_code)]
        return sorted(row[field] for row in answer.json["result"])

    def data(self, name: str | None, dataset: int, column: str, **form: Any) -> Any:
        """Status and rows of a chart request."""
        query = {"columns": [column], "metrics": [], "row_limit": 50}
        body = {"datasource": {"id": dataset, "type": "table"}, "queries": [query], "form_data": form}
        answer = self.ask(name, "POST", "/api/v1/chart/data", body)
        rows = sorted(map(str, answer.json["result"][0]["data"])) if answer.status_code == 200 else None
        return [answer.status_code, rows]


def matrices(people: People) -> dict[str, Any]:
    """What each person may do with things that are not the package's, as installed and with `DASHBOARD_RBAC`."""
    from superset.extensions import feature_flag_manager

    made = {"as installed": _matrix(people)}
    before = feature_flag_manager._feature_flags["DASHBOARD_RBAC"]
    feature_flag_manager._feature_flags["DASHBOARD_RBAC"] = True
    made["DASHBOARD_RBAC"] = _matrix(people)
    feature_flag_manager._feature_flags["DASHBOARD_RBAC"] = before
    return made


def _matrix(people: People) -> dict[str, Any]:
    ours = set(_ours())
    return {str(name): dict(_rights(people, name, ours)) for name in (*PEOPLE, None)}


def _ours() -> Iterator[str]:
    try:
        from superset_ext.monitor.dashboards.bundle import assets
    except ImportError:
        return
    yield from (asset.name for asset in assets())


def _rights(people: People, name: str | None, ours: set[str]) -> Iterator[tuple[str, Any]]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    for kind in LISTS:
        yield f"list {kind}", [thing for thing in people.listed(name, kind) if thing not in ours]
    theirs = [
        row for row in db.session.query(Dashboard.id, Dashboard.slug) if row.slug.startswith(("sales", "virtual"))
    ]
    datasets = {row.table_name: row.id for row in db.session.query(SqlaTable).filter_by(database_id=people.source_id)}
    (chart,) = db.session.query(Slice.id).filter_by(slice_name="sales").one()
    db.session.rollback()
    for number, slug in theirs:
        yield f"open {slug}", people.ask(name, "GET", f"/api/v1/dashboard/{slug}").status_code
        form = {"dashboardId": number, "slice_id": chart}
        yield f"data on {slug}", people.data(name, datasets["sales"], "region", **form)
    for dataset, number in datasets.items():
        yield f"data {dataset}", people.data(name, number, "region")
        yield f"edit {dataset}", people.ask(name, "PUT", f"/api/v1/dataset/{number}", {"description": "x"}).status_code
    yield "run", _run(people, name, people.source_id, "SELECT region FROM sales", "public")
    yield "tables", people.ask(name, "GET", f"/api/v1/database/{people.source_id}/schemas/").status_code


def _run(people: People, name: str | None, database: int, sql: str, schema: str) -> Any:
    """Status and rows of SQL Lab."""
    body = {"database_id": database, "sql": sql, "schema": schema, "runAsync": False, "queryLimit": 10}
    answer = people.ask(name, "POST", "/api/v1/sqllab/execute/", body)
    return [answer.status_code, (answer.json or {}).get("data") if answer.status_code == 200 else None]


def viewers(people: People) -> tuple[str, ...]:
    """Add those who may see the performance dashboards without being an Admin; their names."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.extensions import db, security_manager

    people.add("viewer", ["Gamma", "Performance viewer"])
    people.add("ops", ["Alpha", "sql_lab", "ops"])
    (rule,) = db.session.query(RowLevelSecurityFilter)
    rule.roles = [*rule.roles, security_manager.find_role("ops")]
    db.session.commit()
    return "viewer", "ops"


SECRET = "SELECT view FROM superset_ext.perf_refresh"
HIDDEN = "SELECT query_to_xml('SELECT view FROM superset_ext.perf_refresh', true, true, '')"


def closed(people: People, name: str | None) -> dict[str, Any]:
    """What a person gets to see of the performance database, on every way that leads to it."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    ours = set(_ours())
    database = db.session.query(Database).filter_by(database_name="Cache performance log").one().id
    (dataset,) = db.session.query(SqlaTable.id).filter_by(table_name="perf_refresh").one()
    (dashboard,) = db.session.query(Dashboard.id).filter_by(slug="cache-performance").one()
    (chart,) = db.session.query(Slice.id).filter_by(datasource_id=dataset).first()
    db.session.rollback()
    shown = {f"list {kind}": len(ours.intersection(people.listed(name, kind))) for kind in LISTS}
    shown |= {
        "open": people.ask(name, "GET", f"/api/v1/dashboard/{dashboard}").status_code,
        "its charts": people.ask(name, "GET", f"/api/v1/dashboard/{dashboard}/charts").status_code,
        "its datasets": people.ask(name, "GET", f"/api/v1/dashboard/{dashboard}/datasets").status_code,
        "chart": people.ask(name, "GET", f"/api/v1/chart/{chart}").status_code,
        "dataset": people.ask(name, "GET", f"/api/v1/dataset/{dataset}").status_code,
        "database": people.ask(name, "GET", f"/api/v1/database/{database}").status_code,
        "schemas": people.ask(name, "GET", f"/api/v1/database/{database}/schemas/").status_code,
        "data": people.data(name, dataset, "view"),
        "data on dashboard": people.data(name, dataset, "view", dashboardId=dashboard, slice_id=chart),
        "values": people.ask(name, "GET", f"/api/v1/datasource/table/{dataset}/column/view/values/").status_code,
        "explore": people.ask(
            name, "GET", f"/api/v1/explore/?datasource_id={dataset}&datasource_type=table"
        ).status_code,
    }
    return shown | dict(_sql(people, name, database))


def _sql(people: People, name: str | None, database: int) -> Iterator[tuple[str, Any]]:
    """Every way to have SQL run on a database."""
    for label, sql in (("table", SECRET), ("function", HIDDEN), ("nothing", "SELECT 1")):
        yield f"run {label}", _run(people, name, database, sql, "superset_ext")
        body = {"database_id": database, "sql": sql}
        yield f"estimate {label}", people.ask(name, "POST", "/api/v1/sqllab/estimate/", body).status_code
        body = {"sql": sql}
        answer = people.ask(name, "POST", f"/api/v1/database/{database}/validate_sql/", body)
        yield f"validate {label}", answer.status_code
        made = _dataset(people, name, {"database": database, "schema": "superset_ext", "sql": sql})
        yield f"virtual dataset {label}", made
    yield (
        "table dataset",
        _dataset(people, name, {"database": database, "schema": "pg_catalog", "table_name": "pg_roles"}),
    )
    yield "moved dataset", _moved(people, name, database)
    yield "query as dataset", _query_data(people, name, database)
    alert = {
        "type": "Alert", "name": f"{name}'s", "database": database, "sql": SECRET, "crontab": "0 0 * * *",
        "dashboard": 1, "recipients": [], "validator_type": "not null", "validator_config_json": {}, "owners": [],
    }  # fmt: skip
    yield "alert", people.ask(name, "POST", "/api/v1/report/", alert).status_code
    path = f"/api/v1/database/{database}/table_metadata/?name=perf_refresh&schema=superset_ext"
    yield "table metadata", people.ask(name, "GET", path).status_code


def _dataset(people: People, name: str | None, body: dict[str, Any]) -> Any:
    """What a dataset that a person makes shows them: the status of making it, and of its data."""
    body = {"table_name": f"{name} {abs(hash(json.dumps(body)))}", "normalize_columns": False} | body
    answer = people.ask(name, "POST", "/api/v1/dataset/", body)
    if answer.status_code != 201:
        return [answer.status_code, None]
    column = answer.json["data"]["columns"][0]["column_name"] if answer.json.get("data", {}).get("columns") else "view"
    return [answer.status_code, people.data(name, answer.json["id"], column)[0]]


def _moved(people: People, name: str | None, database: int) -> Any:
    """Likewise for one that a person has made elsewhere and then moves."""
    body = {"database": people.source_id, "table_name": f"{name} moves", "sql": "SELECT region AS view FROM sales"}
    answer = people.ask(name, "POST", "/api/v1/dataset/", body)
    if answer.status_code != 201:
        return [answer.status_code, None]
    number = answer.json["id"]
    moved = people.ask(name, "PUT", f"/api/v1/dataset/{number}", {"database_id": database, "sql": SECRET})
    only = people.ask(name, "PUT", f"/api/v1/dataset/{number}", {"database_id": database})
    return [moved.status_code, only.status_code, people.data(name, number, "view")]


def _query_data(people: People, name: str | None, database: int) -> Any:
    """Chart data of a query of SQL Lab that stands in the list of queries, whoever has put it there."""
    from superset.extensions import db, security_manager
    from superset.models.sql_lab import Query

    user = security_manager.find_user(name) if name else None
    client = f"q{abs(hash(str(name))) % 10**9}"
    query = Query(
        client_id=client, database_id=database, sql=SECRET, executed_sql=SECRET, schema="superset_ext",
        status="success", user_id=user.id if user else None, limit=10,
    )  # fmt: skip
    db.session.add(query)
    db.session.commit()
    number = query.id
    db.session.rollback()
    asked = {"columns": ["view"], "metrics": [], "row_limit": 50}
    body = {"datasource": {"id": number, "type": "query"}, "queries": [asked]}
    data = people.ask(name, "POST", "/api/v1/chart/data", body)
    export = people.ask(name, "GET", f"/api/v1/sqllab/export/{client}/")
    stream = people.ask(name, "POST", "/api/v1/sqllab/export_streaming/", {"client_id": client})
    return [data.status_code, export.status_code, stream.status_code]
