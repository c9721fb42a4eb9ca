"""People, rules and dashboards whose rights change all the time, asked with grants and without.

Runs in a process with a Superset app (see `testing/superset_app.py`). The same app with its grants switched off is the
oracle: what it answers this person now is what may be granted. `grants_changes.py` and `grants_asked.py` ask it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

PASSWORD = "inside-1!"
PEOPLE = tuple(f"p{number}" for number in range(1, 9))
CSRF_SETTINGS = """
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
GUEST_ROLE_NAME = "guests"
GUEST_TOKEN_JWT_SECRET = "the secret of guests, long enough for a key"
GUEST_TOKEN_JWT_EXP_SECONDS = 3600
from superset_ext.config import *
FEATURE_FLAGS = {**FEATURE_FLAGS, "ENABLE_TEMPLATE_PROCESSING": True, "EMBEDDED_SUPERSET": True}
"""
TABLE = """
CREATE TABLE t (owner text, v int, at timestamp);
INSERT INTO t SELECT 'p' || 1 + n %% 8, n, timestamp '2026-01-01' + n * interval '1 day' FROM generate_series(1, 80) n;
"""


class World:
    """One app, its people, and two datasets over one table: `t`, and `own`, which shows each person their rows.

    Args:
        app: with grants switched on.
        source: Superset's database over an empty one.
        url: the metadata database's.
    """

    def __init__(self, app: Any, source: Any, url: str) -> None:
        self.app, self.url = app, url
        self.source_id = source.id
        with source.get_sqla_engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql(TABLE)
        self._rights()
        self.datasets = {"t": self._dataset("t"), "own": self._dataset("own", OWN)}
        self._people()
        self._dashboard()
        self.clients: dict[tuple[str, str], Any] = {}

    @property
    def grants(self) -> Any:
        """What gives answers again in it."""
        return self.app.extensions["superset_ext_grants"]

    def ready(self) -> World:
        """Itself, once its triggers are there."""
        assert self.grants.stamps.make_ready()
        return self

    def _rights(self) -> None:
        from superset.extensions import appbuilder, security_manager

        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_role("Admin")
        security_manager.add_user("boss", "Ada", "Min", "boss@example.org", admin, PASSWORD)

    def _dataset(self, name: str, sql: str | None = None) -> int:
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
        from superset.extensions import db

        made = SqlaTable(table_name=name, database_id=self.source_id, sql=sql, schema="public")
        made.columns = [
            TableColumn(column_name="owner", type="TEXT"), TableColumn(column_name="v", type="INT"),
            TableColumn(column_name="at", type="TIMESTAMP", is_dttm=True),
        ]  # fmt: skip
        made.metrics = [SqlMetric(metric_name="total", expression="sum(v)")]
        db.session.add(made)
        db.session.commit()
        return int(made.id)

    def _people(self) -> None:
        """Each person has a role of their own, so that what is done to one concerns nobody else."""
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db, security_manager

        perms = [security_manager.add_permission_view_menu("can_read", "Chart")]
        perms += [
            security_manager.add_permission_view_menu("datasource_access", dataset.perm)
            for dataset in db.session.query(SqlaTable)
        ]
        for name in ("guests", *PEOPLE):
            role = security_manager.add_role(name if name == "guests" else f"of {name}")
            role.permissions = list(perms[:1] if name == "guests" else perms)
            if name != "guests":
                security_manager.add_user(name, name, name, f"{name}@example.org", [role], password=PASSWORD)
        db.session.commit()

    def _dashboard(self) -> None:
        from superset.extensions import db
        from superset.models.dashboard import Dashboard
        from superset.models.embedded_dashboard import EmbeddedDashboard
        from superset.models.slice import Slice

        chart = Slice(slice_name="c", datasource_id=self.datasets["t"], datasource_type="table", viz_type="table")
        board = Dashboard(dashboard_title="board", slices=[chart], published=True)
        board.embedded = [EmbeddedDashboard(allow_domain_list="")]
        db.session.add(board)
        db.session.commit()
        self.chart_id, self.board_id, self.embedded_id = chart.id, board.id, str(board.embedded[0].uuid)

    def body(self, dataset: str = "t", **more: Any) -> dict[str, Any]:
        """A query context."""
        query = {"columns": ["owner"], "metrics": ["total"], "orderby": [["owner", True]], "row_limit": 100, **more}
        return {
            "datasource": {"id": self.datasets[dataset], "type": "table"},
            "queries": [query],
            "result_format": "json",
            "result_type": "full",
            "form_data": {"slice_id": self.chart_id, "dashboardId": self.board_id},
        }

    def client(self, name: str, kind: str = "jwt") -> Any:
        """Somebody's browser: with a session, or with a token."""
        if (name, kind) not in self.clients:
            client = self.app.test_client()
            login = {"username": name, "password": PASSWORD, "provider": "db"}
            if kind == "jwt":
                token = client.post("/api/v1/security/login", json=login).json["access_token"]
                client = self.app.test_client(use_cookies=False)
                client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            else:
                answer = client.post("/login/", data={"username": name, "password": PASSWORD})
                assert answer.status_code == 302, answer.status_code
            self.clients[name, kind] = client
        return self.clients[name, kind]

    def guest(self, rules: list[dict[str, Any]] | None = None, **claims: Any) -> Any:
        """A guest's browser."""
        from superset.extensions import security_manager

        with self.app.app_context():
            resources = [{"type": "dashboard", "id": self.embedded_id}]
            user = {"username": "guest", **claims}
            token = security_manager.create_guest_access_token(user, resources, rules or [])
        client = self.app.test_client(use_cookies=False)
        client.environ_base["HTTP_X_GUESTTOKEN"] = token.decode() if isinstance(token, bytes) else token
        return client

    def ask(self, client: Any, body: Any) -> tuple[int, Any]:
        """An answer, with grants."""
        return answer_of(client.post("/api/v1/chart/data", json=body))

    def oracle(self, client: Any, body: Any) -> tuple[int, Any]:
        """What Superset answers now, without them."""
        with self.off():
            return self.ask(client, body)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Without grants, in the whole app."""
        hooks = self.grants.hooks
        hooks._is_possible = False
        try:
            yield
        finally:
            hooks._is_possible = None

    def granted(self, client: Any, body: Any) -> tuple[int, Any]:
        """An answer that was given again; it was asked as often as that takes."""
        for _ in range(6):
            before = self.grants.hooks.given
            answer = self.ask(client, body)
            if self.grants.hooks.given > before:
                return answer
        from superset_ext.core.signals import failures

        raise AssertionError(f"never granted: {self.grants.hooks.refused}, {dict(failures)}, {answer}")

    def source(self, statement: str) -> None:
        """Run a statement on the source, past Superset."""
        from superset.extensions import db
        from superset.models.core import Database

        with self.app.app_context():
            source = db.session.get(Database, self.source_id)
            with source.get_sqla_engine() as engine, engine.begin() as connection:
                connection.exec_driver_sql(statement)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement on the metadata database, past Superset."""
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


OWN = "SELECT owner, v, at FROM t WHERE owner = '{{ current_username() }}'"


def answer_of(response: Any) -> tuple[int, Any]:
    """Status and answer, without the numbers that each error has of its own."""
    answer = response.get_json(silent=True)
    return response.status_code, answer


def same(one: tuple[int, Any], other: tuple[int, Any]) -> bool:
    """Whether two answers say the same, times of the cache aside."""
    return one[0] == other[0] and _bare(one[1]) == _bare(other[1])


def _bare(answer: Any) -> Any:
    if not isinstance(answer, dict) or "result" not in answer:
        return answer
    aside = ("cached_dttm", "queried_dttm", "is_cached", "from_dttm", "to_dttm")
    return [{k: v for k, v in result.items() if k not in aside} for result in answer["result"]]


def beside(world: World, client: Any, body: Any) -> list[Any]:
    """Whether it is the oracle's answer, and its status."""
    answer, expected = world.ask(client, body), world.oracle(client, body)
    return [same(answer, expected), answer[0]]
