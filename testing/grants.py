"""People, rules and dashboards whose rights change all the time, asked with grants and without.

Runs in a process with a Superset app (see `testing/superset_app.py`). The same app with its grants switched off is the
oracle: what it answers this person now is what may be granted. `grants_changes.py` and `grants_asked.py` ask it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

PASSWORD = "inside-1!"
PEOPLE = tuple(f"p{number}" for number in range(1, 9))
# Who sees the dataset by a role of a dashboard, by the role of a group, and by owning it.
OTHERS = ("reader", "grouped", "owner")
CSRF_SETTINGS = """
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
GUEST_ROLE_NAME = "guests"
GUEST_TOKEN_JWT_SECRET = "the secret of guests, long enough for a key"
GUEST_TOKEN_JWT_EXP_SECONDS = 86400
from datetime import timedelta
JWT_ACCESS_TOKEN_EXPIRES = timedelta(days=1)
from superset_ext.config import *
FEATURE_FLAGS = {**FEATURE_FLAGS, "ENABLE_TEMPLATE_PROCESSING": True, "EMBEDDED_SUPERSET": True, "DASHBOARD_RBAC": True}
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
        self.grants.stamps.install()
        assert self.grants.stamps.look(), self.grants.stamps.missing
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

        add = security_manager.add_permission_view_menu
        least = [add("can_read", "Chart"), add("can_explore_json", "Superset"), add("can_csv", "Superset")]
        datasets = db.session.query(SqlaTable).order_by(SqlaTable.id)
        all_of_them = [*least, *(add("datasource_access", dataset.perm) for dataset in datasets)]
        for name in ("guests", *PEOPLE, *OTHERS):
            role = security_manager.add_role(name if name == "guests" else f"of {name}")
            role.permissions = list(least if name in ("guests", "reader", "owner") else all_of_them)
            if name != "guests":
                roles = [] if name == "grouped" else [role]
                security_manager.add_user(name, name, name, f"{name}@example.org", roles, password=PASSWORD)
        db.session.commit()
        self._rule()

    def _rule(self) -> None:
        """A rule for everybody who has a number, and what the others see the dataset by."""
        from flask_appbuilder.security.sqla.models import Group
        from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
        from superset.extensions import db, security_manager

        dataset = db.session.get(SqlaTable, self.datasets["t"])
        rule = RowLevelSecurityFilter(name="of all", filter_type="Regular", clause="v < 1000")
        rule.roles = [security_manager.find_role(f"of {name}") for name in PEOPLE]
        rule.tables = [dataset]
        dataset.owners = [security_manager.find_user("owner")]
        group = Group(name="group", roles=[security_manager.find_role("of grouped")])
        group.users = [security_manager.find_user("grouped")]
        db.session.add_all([rule, group])
        db.session.commit()
        self.perm, self.metric_id, self.group_id = dataset.perm, dataset.metrics[0].id, group.id

    def _dashboard(self) -> None:
        from superset.extensions import db, security_manager
        from superset.models.dashboard import Dashboard
        from superset.models.embedded_dashboard import EmbeddedDashboard
        from superset.models.slice import Slice

        chart = Slice(slice_name="c", datasource_id=self.datasets["t"], datasource_type="table", viz_type="table")
        board = Dashboard(dashboard_title="board", slices=[chart], published=True)
        board.embedded = [EmbeddedDashboard(allow_domain_list="")]
        closed = Dashboard(dashboard_title="closed", slices=[chart], published=True)
        closed.roles = [security_manager.find_role("of reader")]
        db.session.add_all([board, closed])
        db.session.commit()
        self.chart_id, self.board_id, self.embedded_id = chart.id, board.id, str(board.embedded[0].uuid)
        self.closed_id, self.boards = closed.id, [board.id, closed.id]
        chart.query_context = json.dumps(self.body())
        db.session.commit()

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
        """Without grants, for what this thread asks."""
        hooks = self.grants.hooks
        if not hasattr(hooks, "off"):
            hooks.off, is_open = threading.local(), hooks._is_open
            hooks._is_open = lambda: not getattr(hooks.off, "here", False) and is_open()
        hooks.off.here = True
        try:
            yield
        finally:
            hooks.off.here = False

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

    def ids(self, name: str | None, role: str | None = None) -> tuple[int, int]:
        """The numbers of a person, 0 for none, and of their role."""
        role = role or f"of {name}"
        ((user,),) = self.sql("SELECT coalesce(max(id), 0) FROM ab_user WHERE username = %s", name)
        ((number,),) = self.sql("SELECT id FROM ab_role WHERE name = %s", role)
        return user, number

    def kind_of(self, table: str, column: str) -> str:
        """The type of a column of the metadata database."""
        ((kind,),) = self.sql(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attname = %s", table, column
        )  # fmt: skip
        return str(kind)


OWN = "SELECT owner, v, at FROM t WHERE owner = '{{ current_username() }}'"


def answer_of(response: Any) -> tuple[int, Any]:
    """Status and answer, without the numbers that each error has of its own."""
    answer = response.get_json(silent=True)
    return response.status_code, answer


def timeless(body: bytes) -> bytes:
    """A body without the second in which gzip made it, which is bytes 4 to 8 of its header (RFC 1952)."""
    return body[:4] + bytes(4) + body[8:] if body.startswith(b"\x1f\x8b") else body


def same(one: tuple[int, Any], other: tuple[int, Any]) -> bool:
    """Whether two answers say the same, times of the cache aside."""
    return one[0] == other[0] and bare(one[1]) == bare(other[1])


def bare(answer: Any) -> Any:
    """What an answer says, times of the cache aside."""
    if not isinstance(answer, dict):
        return answer
    aside = ("cached_dttm", "queried_dttm", "is_cached", "from_dttm", "to_dttm")
    results = answer["result"] if isinstance(answer.get("result"), list) else [answer]
    return [{k: v for k, v in result.items() if k not in aside} for result in results]


def beside(world: World, client: Any, body: Any) -> list[Any]:
    """Whether it is the oracle's answer, and its status."""
    answer, expected = world.ask(client, body), world.oracle(client, body)
    return [same(answer, expected), answer[0]]
