"""What ran decides what an answer depends on, never only what the payload says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from testing.asking import Asking, layer
from testing.in_process import InProcess

pytestmark = pytest.mark.timeout(300)
TABLES = """
CREATE TABLE t (v int); INSERT INTO t VALUES (1);
CREATE TABLE t_tenant (v int); INSERT INTO t_tenant VALUES (10);
"""
MORE = "INSERT INTO {} VALUES (100)"


@pytest.fixture
def asking(superset_app: InProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A source with a table and a tenant's; templates are on."""
    from superset.extensions import feature_flag_manager

    monkeypatch.setitem(feature_flag_manager._feature_flags, "ENABLE_TEMPLATE_PROCESSING", True)
    made = Asking(superset_app, database_url)
    made.sql(TABLES)
    return made


def mutated(sql: str, **_: Any) -> str:
    """The tenant's SQL."""
    return sql.replace("public.t\n", "public.t_tenant\n").replace("public.t ", "public.t_tenant ")


def by_config(after_split: bool) -> Callable[[Asking, pytest.MonkeyPatch], None]:
    def put(asking: Asking, patch: pytest.MonkeyPatch) -> None:
        patch.setitem(asking.app.config, "SQL_QUERY_MUTATOR", mutated)
        patch.setitem(asking.app.config, "MUTATE_AFTER_SPLIT", after_split)

    return put


def by_database(asking: Asking, patch: pytest.MonkeyPatch) -> None:
    from superset.models.core import Database

    patch.setattr(Database, "mutate_sql_based_on_config", lambda self, sql_, is_split=False: mutated(sql_))


def by_spec(past_superset: bool) -> Callable[[Asking, pytest.MonkeyPatch], None]:
    def put(asking: Asking, patch: pytest.MonkeyPatch) -> None:
        from superset.db_engine_specs.postgres import PostgresEngineSpec
        from superset.models.core import Database

        class OwnSpec(PostgresEngineSpec):
            @classmethod
            def execute(cls, cursor: Any, query: str, database: Any, **kwargs: Any) -> None:
                if past_superset:
                    cursor.execute(mutated(query))
                else:
                    super().execute(cursor, mutated(query), database, **kwargs)

        patch.setattr(Database, "db_engine_spec", OwnSpec)

    return put


MUTATIONS = {
    "before the split": by_config(False), "after the split": by_config(True), "the method itself": by_database,
    "an engine spec": by_spec(False), "an engine spec past Superset's own": by_spec(True),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_tags_are_those_of_the_sql_that_was_sent(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, mutation: str
) -> None:
    """Intent: the payload names `t`, the source was asked for `t_tenant`; a change of that must be seen."""
    MUTATIONS[mutation](asking, monkeypatch)
    dataset = asking.dataset("t")
    assert asking.ask(dataset) == (False, 10)
    assert asking.ask(dataset) == (True, 10)
    asking.sql(MORE.format("t_tenant"))
    asking.tell("t_tenant")
    assert asking.ask(dataset) == (False, 110)
    assert asking.ask(dataset) == (True, 110)


def test_what_the_mutator_left_out_is_no_reason(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: only what changed; nobody read `t`."""
    by_config(True)(asking, monkeypatch)
    dataset = asking.dataset("t")
    asking.ask(dataset)
    asking.tell("t")
    assert asking.ask(dataset) == (True, 10)


def test_several_statements_count_together(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a mutator that puts a statement before the query changes where its names are looked up."""
    asking.sql("CREATE SCHEMA tenant; CREATE TABLE tenant.t (v int); INSERT INTO tenant.t VALUES (7)")
    path = "SELECT set_config('search_path', 'tenant', false); "
    monkeypatch.setitem(asking.app.config, "SQL_QUERY_MUTATOR", lambda sql, **_: path + sql)
    dataset = asking.dataset("moved", "SELECT v FROM t")
    assert asking.ask(dataset) == (False, 7)
    asking.sql("INSERT INTO tenant.t VALUES (100)")
    asking.tell("t_tenant")  # which table that was cannot be known, so that any change of the database counts
    assert asking.ask(dataset) == (False, 107)


def edit_sql(asking: Asking, inner: int) -> int:
    from superset.connectors.sqla.models import SqlaTable

    with asking.edited(SqlaTable, inner) as dataset:
        dataset.sql = "SELECT v FROM t_tenant"
    return 10


def edit_column(asking: Asking, inner: int) -> int:
    from superset.connectors.sqla.models import SqlaTable

    with asking.edited(SqlaTable, inner) as dataset:
        dataset.columns[0].expression = "v * 3"
    return 3


def drop_by_name(asking: Asking, inner: int) -> int:
    asking.sql(MORE.format("t"))
    asking.tell(datasets=(inner,))
    return 101


def change_table(asking: Asking, inner: int) -> int:
    asking.sql(MORE.format("t"))
    asking.tell("t")
    return 101


EDITS = {"its SQL": edit_sql, "a column": edit_column, "dropped by name": drop_by_name, "its table": change_table}


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("edit", EDITS)
def test_a_nested_dataset_that_changes_changes_what_is_made_of_it(asking: Asking, edit: str, depth: int) -> None:
    """Intent: whatever is edited in A, or told of it, is seen in charts on B, however deep A lies."""
    inner = outer = asking.dataset("inner", "SELECT v FROM t")
    for number in range(depth):
        outer = asking.dataset(f"outer{number}", f"SELECT * FROM {{{{ dataset({outer}) }}}}")
    assert asking.ask(outer) == (False, 1)
    assert asking.ask(outer) == (True, 1)
    expected = EDITS[edit](asking, inner)
    assert asking.ask(outer) == (False, expected)
    assert asking.ask(outer) == (True, expected)


def test_a_metric_that_is_borrowed_changes_with_its_dataset(asking: Asking) -> None:
    """Intent: as above, for `{{ metric() }}`, edited and dropped by the name of its dataset."""
    from superset.connectors.sqla.models import SqlaTable, SqlMetric

    lender, borrower = asking.dataset("lender", "SELECT v FROM t"), asking.dataset("borrower", "SELECT v FROM t")
    with asking.edited(SqlaTable, lender) as dataset:
        dataset.metrics = [SqlMetric(metric_name="lent", expression="SUM(v)")]
    borrowed = {
        **asking.body(borrower)["queries"][0]["metrics"][0],
        "sqlExpression": f"{{{{ metric('lent', {lender}) }}}}",
    }
    assert asking.ask(borrower, metrics=[borrowed]) == (False, 1)
    with asking.edited(SqlaTable, lender) as dataset:
        dataset.metrics[0].expression = "SUM(v) * 5"
    assert asking.ask(borrower, metrics=[borrowed]) == (False, 5)
    assert asking.ask(borrower, metrics=[borrowed]) == (True, 5)
    asking.tell(datasets=(lender,))
    assert asking.ask(borrower, metrics=[borrowed]) == (False, 5)


def shown(asking: Asking, dataset: int, *layers: dict[str, Any]) -> tuple[bool, Any]:
    """Whether a chart with annotation layers was cached, and what its first layer shows."""
    answer = asking.answer(asking.body(dataset, annotation_layers=list(layers)))
    return bool(answer["is_cached"]), answer["annotation_data"]["a layer"]["records"]


def test_a_chart_that_is_edited_changes_what_shows_it(asking: Asking) -> None:
    """Intent: an annotation layer shows the chart as it is now: its query, its form, its dataset, its rows."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.slice import Slice

    inner, outer = asking.dataset("inner", "SELECT v FROM t"), asking.dataset("outer", "SELECT v FROM t_tenant")
    chart = asking.chart(inner)
    asked = layer("table", chart)
    assert shown(asking, outer, asked) == (False, [{"total": 1}])
    assert shown(asking, outer, asked) == (True, [{"total": 1}])
    with asking.edited(Slice, chart) as saved:
        metric = {"expressionType": "SQL", "sqlExpression": "SUM(v) * 2", "label": "twice"}
        saved.query_context = json.dumps(asking.body(inner, metrics=[metric]))
    assert shown(asking, outer, asked) == (False, [{"twice": 2}])
    with asking.edited(SqlaTable, inner) as dataset:
        dataset.sql = "SELECT v * 10 AS v FROM t"
    assert shown(asking, outer, asked) == (False, [{"twice": 20}])
    asking.sql(MORE.format("t"))
    asking.tell("t")
    assert shown(asking, outer, asked) == (False, [{"twice": 2020}])
    assert shown(asking, outer, asked) == (True, [{"twice": 2020}])
    asking.tell(charts=(chart,))
    assert shown(asking, outer, asked) == (False, [{"twice": 2020}])


def test_a_chart_that_is_dropped_by_its_name_drops_what_shows_it(asking: Asking) -> None:
    """Intent: also where its own answer was stored by somebody who asked the dataset, and does not carry its name."""
    inner, outer = asking.dataset("t"), asking.dataset("outer", "SELECT v FROM t_tenant")
    chart = asking.chart(inner)
    asked = layer("table", chart)
    assert asking.ask(inner) == (False, 1)
    assert shown(asking, outer, asked) == (False, [{"total": 1}])
    assert shown(asking, outer, asked) == (True, [{"total": 1}])
    asking.tell(charts=(chart,))
    assert asking.ask(inner) == (True, 1)
    assert shown(asking, outer, asked) == (False, [{"total": 1}])


def test_an_annotation_that_is_edited_changes_what_shows_it(asking: Asking) -> None:
    """Intent: an annotation added, edited and deleted in a layer of Superset's own."""
    from superset.extensions import db
    from superset.models.annotations import Annotation, AnnotationLayer

    with asking.app.app_context():
        own = AnnotationLayer(name=asking.name, annotation=[Annotation(short_descr="one")])
        db.session.add(own)
        db.session.commit()
        number, first = own.id, own.annotation[0].id
    outer, asked = asking.dataset("outer", "SELECT v FROM t"), layer("NATIVE", number)

    def words() -> tuple[bool, list[str]]:
        cached, records = shown(asking, outer, asked)
        return cached, sorted(record["short_descr"] for record in records)

    assert words() == (False, ["one"])
    assert words() == (True, ["one"])
    with asking.edited(Annotation, first) as note:
        note.short_descr = "first"
    assert words() == (False, ["first"])
    with asking.edited(AnnotationLayer, number) as own:
        own.annotation.append(Annotation(short_descr="second"))
    assert words() == (False, ["first", "second"])
    with asking.edited(Annotation, first) as note:
        db.session.delete(note)
    assert words() == (False, ["second"])
    assert words() == (True, ["second"])


def test_supersets_own_executor_is_cached_as_of_its_sql(asking: Asking) -> None:
    """Intent: its forced refresh sets without a get; the next ask has that answer, until something changes."""
    from superset.extensions import db
    from superset.models.core import Database
    from superset_core.queries.types import CacheOptions, QueryOptions

    def execute(force: bool) -> tuple[bool, int]:
        options = QueryOptions(cache=CacheOptions(timeout=600, force_refresh=force))
        with asking.app.test_request_context():
            result = db.session.get(Database, asking.database_id).execute("SELECT sum(v) AS total FROM t", options)
        assert result.error_message is None
        data = result.statements[0].data  # a frame, or, from the cache, a list of rows
        return bool(result.is_cached), int(data[0]["total"] if isinstance(data, list) else data["total"][0])

    asking.tell("t")
    assert [execute(force=True), execute(force=False)] == [(False, 1), (True, 1)]
    asking.sql(MORE.format("t"))
    asking.tell("t")
    assert [execute(force=False), execute(force=True), execute(force=False)] == [
        (False, 101),
        (False, 101),
        (True, 101),
    ]
