"""Processes of one app that answer charts and documents over changing tables and objects.

Runs in a process with a Superset app (see `World` in `testing/grants.py`), which it forks as gunicorn does that has
loaded the app. `grants_machine.py` chooses what they are asked, and looks at what they answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from testing import grants_faults
from testing.grants import World, answer_of, same

READS = {"a": ("a",), "ab": ("a", "b"), "bc": ("b", "c"), "c": ("c",)}  # which tables a chart reads
TABLES = ("a", "b", "c")
COLUMNS = ("x", "y")
SQL = {  # what is read twice a moment apart is as of one moment: that of the statement
    "ab": "SELECT a.v AS x, b.v AS y, pg_sleep(0.02)::text AS z FROM a, b",
    "bc": "SELECT b.v AS x, c.v AS y FROM b, c",
    "c": "WITH c AS (SELECT * FROM c) SELECT v AS x, v AS y FROM c",
}
WHO = (("p1", "jwt"), ("p2", "session"), ("p3", "jwt"), ("guest", "guest"))
GRACE, TIMEOUT = 1.0, 2.0  # seconds; the timeout is that of the dataset `c`
ENVIRONMENT = {
    "SUPERSET_EXT_GRANTS_DOCUMENTS": "true", "SUPERSET_EXT_GRANTS_SECONDS": "20",
    "SUPERSET_EXT_GRACE_SECONDS": str(GRACE), "SUPERSET_EXT_LEASE_SECONDS": "1", "SUPERSET_EXT_WAIT_SECONDS": "0.2",
    "SUPERSET_EXT_CIRCUIT_RESET_SECONDS": "0.05",
}  # fmt: skip


class Site:
    """A world with charts over the tables, on the dashboard that guests are shown."""

    def __init__(self, world: World, redis_url: str) -> None:
        from superset.extensions import db

        from testing import documents_site

        self.world, self.redis_url = world, redis_url
        world.source(";".join(f"CREATE TABLE {table} (v bigint); INSERT INTO {table} VALUES (0)" for table in TABLES))
        world.source("CREATE VIEW a_view AS SELECT v AS x, v AS y FROM a")
        documents_site.prepare(world, ("p1", "p2", "p3"))
        self.charts: dict[str, int] = {}
        self.datasets: dict[str, int] = {}
        with world.app.app_context():
            for name in READS:
                self._chart(name)
            self._rights()
            db.session.remove()
        ((self.warmer,),) = world.sql("SELECT id FROM ab_user WHERE username = 'p1'")
        self.clients = {who: world.guest() if who == "guest" else world.client(who, kind) for who, kind in WHO}
        self.boss = world.client("boss")
        self.source_dsn = os.environ["SOURCE"]
        with world.app.app_context():
            db.engine.dispose()

    def _chart(self, name: str) -> None:
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
        from superset.extensions import db
        from superset.models.dashboard import Dashboard
        from superset.models.slice import Slice

        made = SqlaTable(
            table_name="a_view" if name == "a" else f"dataset_{name}", database_id=self.world.source_id,
            sql=SQL.get(name), schema="public", cache_timeout=TIMEOUT if name == "c" else None,
        )  # fmt: skip
        made.columns = [TableColumn(column_name=column, type="INT") for column in COLUMNS]
        made.metrics = [SqlMetric(metric_name=column, expression=f"max({column})") for column in COLUMNS]
        chart = Slice(slice_name=name, datasource_type="table", viz_type="table")
        db.session.add(made)
        db.session.flush()
        chart.datasource_id = made.id
        board = db.session.get(Dashboard, self.world.board_id)
        board.slices = [*board.slices, chart]
        db.session.add(chart)
        db.session.commit()
        self.charts[name], self.datasets[name] = chart.id, made.id
        chart.query_context = self.world.app.json.dumps(self.body(name))
        db.session.commit()

    def _rights(self) -> None:
        from superset.extensions import db, security_manager

        everything = security_manager.add_permission_view_menu("all_datasource_access", "all_datasource_access")
        for person in ("p1", "p2", "p3"):
            role = security_manager.find_role(f"of {person}")
            role.permissions = [*role.permissions, everything]
        db.session.commit()

    def body(self, name: str, **more: Any) -> dict[str, Any]:
        """The request of a chart."""
        query = {"columns": [], "metrics": list(COLUMNS), "filters": [], "row_limit": 10}
        form = {"slice_id": self.charts[name], "dashboardId": self.world.board_id}
        source = {"id": self.datasets[name], "type": "table"}
        full = {"result_format": "json", "result_type": "full", "form_data": form}
        return {"datasource": source, "queries": [query], **full, **more}


Verb = Callable[..., dict[str, Any]]


def serve(site: Site, pipe: Connection, fault: str | None) -> None:
    """Answer what comes through a pipe, until it ends."""
    grants_faults.commit(fault)
    verbs: dict[str, Verb] = {
        "chart": _chart, "document": _document, "change": _change, "warm": _warm, "compare": _compare,
    }  # fmt: skip
    while True:
        try:
            verb, args = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        if verb == "end":
            os._exit(0)
        try:
            pipe.send(verbs[verb](site, *args))
        except Exception as error:  # noqa: BLE001  (whatever it is, somebody waits for the answer)
            pipe.send({"status": repr(error)})


def _chart(site: Site, who: str, name: str, kind: str) -> dict[str, Any]:
    hooks = site.world.grants.hooks
    before = hooks.given
    answer = _asked(site, who, name, kind)
    words = answer.get_json(silent=True)
    is_given = hooks.given > before
    if answer.status_code != 200:
        return {"status": answer.status_code, "words": words}
    row = words["result"][0]["data"][0]
    return {"status": 200, "shown": [row[column] for column in COLUMNS], "given": is_given}


def _asked(site: Site, who: str, name: str, kind: str) -> Any:
    client = site.clients[who]
    if kind == "saved":
        return client.get(f"/api/v1/chart/{site.charts[name]}/data/")
    return client.post("/api/v1/chart/data", json=site.body(name, force=kind == "forced"))


def _document(site: Site, who: str, name: str, etag: str | None) -> dict[str, Any]:
    client, hooks = site.clients[who], site.world.grants.hooks
    before = hooks.given
    path = f"/api/v1/dashboard/{site.world.board_id}" + ("/charts" if name == "charts" else "")
    answer = client.get(path, headers={"If-None-Match": etag} if etag else {})
    is_given = hooks.given > before
    seen = {"status": answer.status_code, "etag": answer.headers.get("ETag"), "given": is_given}
    if answer.status_code == 200:
        result = answer.get_json()["result"]
        texts = (
            [result["dashboard_title"], result["css"]]
            if name == "board"
            else [min(one["slice_name"] for one in result)]
        )
        seen["shown"] = [int(text.rsplit(" ", 1)[1]) for text in texts]
    return seen


def _change(site: Site, table: str) -> dict[str, Any]:
    answer = site.boss.post(
        "/api/v1/performance/cache/invalidate",
        json={"tables": [{"database": "source", "schema": "public", "table": table}]},
    )
    return {"status": answer.status_code, "words": answer.get_json(silent=True)}


def _warm(site: Site, name: str, refresh: bool) -> dict[str, Any]:
    from superset_ext.host.people import Identity
    from superset_ext.host.replay import request_context, run_chart_data

    body = site.body(name)
    environ = {"path": "/api/v1/chart/data", "method": "POST", "json": body}
    with request_context(site.world.app, environ, Identity(site.warmer)):
        run_chart_data(body, refresh)
    return {"status": 200}


def _compare(site: Site, who: str, name: str) -> dict[str, Any]:
    """An answer, and that of Superset without grants and cache; nothing changes meanwhile."""
    answer = answer_of(_asked(site, who, name, "json"))
    with site.world.off():
        expected = answer_of(_asked(site, who, name, "forced"))
    alike = same(answer, expected)
    return {"status": 200, "same": alike, "words": None if alike else [answer, expected]}
