"""A world of nested datasets, rules, annotation charts and users, asked with the cache and without.

Runs in a process with a Superset app (see `testing/superset_app.py`). Without the cache Superset is the oracle: what it
answers this user now is what the cache may answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

PEOPLE = ("u1", "u2", "u3")
RULES = (
    "owner = '{{ current_username() }}'",
    "owner <> '{{ current_username() }}'",
    "v > {{ current_user_id() }} * 10",
    "owner = 'u1'",
    "{{ '1 = 1' if 'chief' in current_user_roles() else '1 = 0' }}",
)
TABLE = """
CREATE TABLE t (owner text, v int, at timestamp);
INSERT INTO t SELECT 'u' || 1 + n % 3, n, timestamp '2026-01-01' + n * interval '1 day' FROM generate_series(1, 60) n;
CREATE TABLE other (owner text, v int);
CREATE TABLE third AS SELECT 'u' || 1 + n % 3 AS owner, n AS v FROM generate_series(1, 30) n;
INSERT INTO other SELECT 'u' || 1 + n % 3, n FROM generate_series(1, 30) n;
"""
OWN = "SELECT owner, v, at FROM t WHERE owner = '{{ current_username() }}'"


class World:
    """Superset's objects by name.

    Attributes:
        datasets: ids by name; `deep1` reads `ruled` through a macro, `deep2` reads `deep1`, and so on.
        requests: bodies for `/api/v1/chart/data`, by name.
        changes: how often a right or a rule has changed, so that an answer from before is no longer right.
    """

    def __init__(self, app: Any, source: Any) -> None:
        self.app = app
        self.source_id = source.id
        self.rule_id: int | None = None
        self.changes = 0
        self.datasets: dict[str, int] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        with source.get_sqla_engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql(TABLE.replace("%", "%%"))
        self._datasets()
        self._people()
        self._charts()

    def _datasets(self) -> None:
        self._dataset("ruled", table="t")
        self._dataset("plain", table="other")
        self._dataset("other", "SELECT * FROM other")
        self._dataset("own", OWN)
        self._dataset("through", "SELECT owner, v FROM t")
        self._dataset("listed", "SELECT owner, v FROM t WHERE '{{ current_user_roles() | join('') }}' LIKE '%%chief%%'")
        self._dataset("asked", 'SELECT owner, v FROM t WHERE owner = \'{{ url_param("who") or "u2" }}\'')
        self._dataset("several", OWN + " AND v < 99 + {{ current_user_id() }} AND '{{ current_user_email() }}' > ''")
        for number, inner in enumerate(("ruled", "deep1", "deep2"), 1):
            self._dataset(f"deep{number}", f"SELECT owner, v FROM {self._macro(inner)}")
        for inner in ("own", "listed", "asked"):
            self._dataset(f"over_{inner}", f"SELECT owner, v FROM {self._macro(inner)}")
        self._dataset("joined", f"SELECT a.owner, b.v FROM {self._macro('own', 'a')}, {self._macro('ruled', 'b')}")
        self._metric("ruled", "mine", "sum(CASE WHEN owner = '{{ current_username() }}' THEN v ELSE 0 END)")
        self._filters()
        self._metric("other", "borrowed", f"{{{{ metric('mine', {self.datasets['ruled']}) }}}}")

    def _filters(self) -> None:
        """Filters that read a nested dataset in turn."""
        where = f"owner IN (SELECT owner FROM {self._macro('deep1')} WHERE owner IN (SELECT owner FROM third))"
        self.requests["filtered"] = self.body("plain", extras={"where": where})

    def _macro(self, inner: str, alias: str | None = None) -> str:
        return f"(SELECT * FROM {{{{ dataset({self.datasets[inner]}) }}}}) AS {alias or inner}"

    def _dataset(self, name: str, sql: str | None = None, table: str | None = None) -> None:
        from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
        from superset.extensions import db

        made = SqlaTable(table_name=table or name, database_id=self.source_id, sql=sql, schema="public")
        made.columns = [TableColumn(column_name="owner", type="TEXT"), TableColumn(column_name="v", type="INT")]
        made.metrics = [SqlMetric(metric_name="total", expression="sum(v)")]
        db.session.add(made)
        db.session.commit()
        self.datasets[name] = made.id
        self.requests[name] = self.body(name)

    def _metric(self, dataset: str, name: str, expression: str) -> None:
        from superset.connectors.sqla.models import SqlMetric
        from superset.extensions import db

        db.session.add(SqlMetric(metric_name=name, expression=expression, table_id=self.datasets[dataset]))
        db.session.commit()
        self.requests[f"{dataset}.{name}"] = self.body(dataset, name)

    def body(self, dataset: str, metric: str = "total", **more: Any) -> dict[str, Any]:
        """A query context."""
        query = {"columns": ["owner"], "metrics": [metric], "orderby": [["owner", True]], "row_limit": 100, **more}
        return {
            "datasource": {"id": self.datasets[dataset], "type": "table"},
            "queries": [query],
            "result_format": "json",
            "result_type": "full",
            "form_data": {"url_params": more.get("url_params", {})},
        }

    def _people(self) -> None:
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db, security_manager

        people, chief = security_manager.add_role("people"), security_manager.add_role("chief")
        for dataset in db.session.query(SqlaTable):
            people.permissions.append(security_manager.add_permission_view_menu("datasource_access", dataset.perm))
        for name in PEOPLE:
            security_manager.add_user(name, name, name, f"{name}@example.org", [people], password="inside-1!")
        head = security_manager.find_user("u3")
        head.roles = [people, chief]
        db.session.commit()

    def _charts(self) -> None:
        """Charts as annotation layers of others: of ruled rows, of rows by user, and two deep."""
        first = self._annotated("ruled", "plain", "by_rule")
        self._annotated("deep2", "plain", "by_depth")
        self._annotated(None, "plain", "by_chart", chart=first)

    def _annotated(self, shown: str | None, outer: str, name: str, chart: int | None = None) -> int:
        from superset.extensions import db
        from superset.models.slice import Slice

        if chart is None:
            chart = self._chart(f"{name} layer", str(shown), self.body(str(shown)))
        layer = {"name": "layer", "sourceType": "table", "value": chart, "annotationType": "EVENT", "show": True,
                 "showMarkers": False, "style": "solid", "titleColumn": "owner", "timeColumn": "owner"}  # fmt: skip
        body = self.body(outer, annotation_layers=[layer])
        self.requests[name] = body
        number = self._chart(name, outer, body)
        assert db.session.query(Slice).get(number) is not None
        return number

    def _chart(self, name: str, dataset: str, body: dict[str, Any]) -> int:
        from superset.extensions import db
        from superset.models.slice import Slice

        number = self.datasets[dataset]
        made = Slice(
            slice_name=name, viz_type="table", datasource_id=number, datasource_type="table",
            params="{}", query_context=json.dumps(body),
        )  # fmt: skip
        db.session.add(made)
        db.session.commit()
        return int(made.id)

    def rule(self, clause: str | None, dataset: str = "ruled") -> None:
        """Have one row-level rule with this clause, or none."""
        from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
        from superset.extensions import db, security_manager

        rule = db.session.query(RowLevelSecurityFilter).get(self.rule_id) if self.rule_id else None
        if clause is None:
            if rule is not None:
                db.session.delete(rule)
            self.rule_id = None
        elif rule is not None:
            rule.clause = clause
        else:
            rule = RowLevelSecurityFilter(name="rule", filter_type="Regular", clause=clause)
            rule.tables = [db.session.query(SqlaTable).get(self.datasets[dataset])]
            rule.roles = [role for name in ("people", "guests") if (role := security_manager.find_role(name))]
            db.session.add(rule)
        db.session.commit()
        self.rule_id = rule.id if rule is not None and clause is not None else None
        self.changes += 1

    def edit(self, dataset: str, sql: str) -> None:
        """Give a virtual dataset other SQL."""
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db

        db.session.query(SqlaTable).get(self.datasets[dataset]).sql = sql
        db.session.commit()

    def ask(self, user: str, name: str, force: bool = False) -> Any:
        """What a user is answered: rows, annotations and whether all of it was cached; or the class of the error."""
        from superset.charts.schemas import ChartDataQueryContextSchema
        from superset.commands.chart.data.get_data_command import ChartDataCommand
        from superset.extensions import security_manager
        from superset.utils.core import override_user

        body = json.loads(json.dumps(self.requests[name])) | {"force": force}
        with (
            self.app.app_context(),
            self.app.test_request_context("/api/v1/chart/data", method="POST", json=body),
            override_user(security_manager.find_user(user)),
        ):
            try:
                command = ChartDataCommand(ChartDataQueryContextSchema().load(body))
                command.validate()
                results = command.run()["queries"]
            except Exception as error:  # noqa: BLE001  (the oracle says which one is right)
                return f"{type(error).__name__}: {error}"[:300]
        return [{key: result.get(key) for key in ("data", "annotation_data", "is_cached")} for result in results]

    @contextmanager
    def no_cache(self) -> Iterator[None]:
        """Superset without a cache for charts."""
        from flask_caching.backends.nullcache import NullCache
        from superset.extensions import cache_manager

        caches, ours = self.app.extensions["cache"], self.app.extensions["cache"][cache_manager.data_cache]
        caches[cache_manager.data_cache] = NullCache()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            caches[cache_manager.data_cache] = ours

    @contextmanager
    def mutator(self, predicate: str | None, comment: str = "") -> Iterator[None]:
        """Superset with an SQL_QUERY_MUTATOR that adds what it is given, formatted with the user's name."""
        from superset.utils.core import get_username

        def mutate(sql: str, **_: Any) -> str:
            user = get_username()
            kept = f"SELECT * FROM ({sql}) AS mutated WHERE {predicate.format(user=user)}" if predicate else sql
            return f"/* {comment.format(user=user)} */ {kept}"

        before = self.app.config["SQL_QUERY_MUTATOR"]
        self.app.config["SQL_QUERY_MUTATOR"] = mutate
        try:
            yield
        finally:
            self.app.config["SQL_QUERY_MUTATOR"] = before

    def deny(self, dataset: str) -> None:
        """Take the right to read a dataset from everybody but u3."""
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db, security_manager

        right = security_manager.find_permission_view_menu(
            "datasource_access", db.session.query(SqlaTable).get(self.datasets[dataset]).perm
        )
        people, chief = security_manager.find_role("people"), security_manager.find_role("chief")
        people.permissions = [permission for permission in people.permissions if permission.id != right.id]
        chief.permissions = [right]
        db.session.commit()


def shown(answer: Any) -> Any:
    """An answer without whether it was cached."""
    if isinstance(answer, str):
        return answer
    return [{name: value for name, value in result.items() if name != "is_cached"} for result in answer]


def hit(answer: Any) -> bool | str:
    """Whether all of an answer was cached, or its error."""
    return answer if isinstance(answer, str) else all(result["is_cached"] for result in answer)


def owners(answer: Any) -> list[str] | str:
    """Whose rows an answer shows, or the class of its error."""
    return answer.partition(":")[0] if isinstance(answer, str) else [row["owner"] for row in answer[0]["data"]]


def extra_keys(world: World, user: str = "u1", names: Iterable[str] | None = None) -> dict[str, Any]:
    """What goes into Superset's cache keys beside the query, by request."""
    from superset.charts.schemas import ChartDataQueryContextSchema
    from superset.extensions import security_manager
    from superset.utils.core import override_user

    made = {}
    for name in names or sorted(world.requests):
        body = world.requests[name]
        with (
            world.app.test_request_context("/api/v1/chart/data", method="POST", json=body),
            override_user(security_manager.find_user(user)),
        ):
            context = ChartDataQueryContextSchema().load(json.loads(json.dumps(body)))
            made[name] = [context.datasource.get_extra_cache_keys(query.to_dict()) for query in context.queries]
    return made
