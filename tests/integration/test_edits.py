"""What is told of an edit in Superset: what was edited, all of it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testing.edited import Sources, asked, editing, heard, run
from testing.in_process import InProcess

TABLE = "CREATE TABLE edited (owner text, v int); INSERT INTO edited VALUES ('a', 1), ('b', 2)"


@dataclass
class World:
    """Two datasets over one table."""

    client: Any
    database: int
    edited: int
    other: int

    def put(self, path: str = "", **body: Any) -> None:
        answer = self.client.put(f"/api/v1/dataset/{self.edited}{path}", json=body)
        assert answer.status_code == 200, answer.json

    def delete(self, path: str) -> None:
        answer = self.client.delete(f"/api/v1/dataset/{self.edited}{path}")
        assert answer.status_code == 200, answer.json

    def shown(self) -> dict[str, Any]:
        result: dict[str, Any] = self.client.get(f"/api/v1/dataset/{self.edited}").json["result"]
        return result

    def columns(self) -> list[dict[str, Any]]:
        """The columns as the editor sends them."""
        keys = ("id", "column_name", "type", "verbose_name", "expression", "filterable", "groupby")
        return [{key: column[key] for key in keys} for column in self.shown()["columns"]]

    def metrics(self) -> list[dict[str, Any]]:
        """The metrics as the editor sends them."""
        keys = ("id", "metric_name", "expression", "verbose_name")
        return [{key: metric[key] for key in keys} for metric in self.shown()["metrics"]]


@pytest.fixture
def world(superset_app: InProcess, database_url: str) -> Iterator[World]:
    run(database_url, TABLE)
    sources = Sources()
    with superset_app.app.app_context():
        database = sources.database("edits", database_url)
        edited, other = sources.dataset(database, "edited"), sources.dataset(database, "second", "SELECT * FROM edited")
    yield World(editing(superset_app), database, edited, other)
    with superset_app.app.app_context():
        sources.remove()


def _saved(world: World) -> None:
    """As the editor saves: everything, of which one metric is another one."""
    first, *others = world.metrics()
    world.put(columns=world.columns(), metrics=[{**first, "expression": "max(v)"}, *others], owners=[1])


def _a_column(world: World) -> None:
    first, *others = world.columns()
    world.put(columns=[{**first, "verbose_name": "Whose"}, *others], metrics=world.metrics())


def _more(world: World) -> None:
    world.put(metrics=[*world.metrics(), {"metric_name": "most", "expression": "max(v)"}])


def _less(world: World) -> None:
    world.put(columns=world.columns()[:1], metrics=world.metrics())


def _no_metric(world: World) -> None:
    world.put(columns=world.columns(), metrics=[])


def _overridden(world: World) -> None:
    world.put("?override_columns=true", columns=[{"column_name": "owner", "type": "TEXT"}])


EDITS: list[Callable[[World], None]] = [
    _saved, _a_column, _more, _less, _no_metric, _overridden,
    lambda world: world.put(description="Another text"),
    lambda world: world.put("/refresh"),
    lambda world: world.delete(f"/metric/{world.metrics()[0]['id']}"),
    lambda world: world.delete(f"/column/{world.columns()[0]['id']}"),
    lambda world: world.delete(""),
]  # fmt: skip
NAMES = ["save", "column", "more", "less", "no metric", "override", "text", "refresh", "metric", "column gone", "gone"]


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_an_edit_concerns_its_dataset_alone(world: World, edit: Callable[[World], None]) -> None:
    """Intent: invariant 4; what the editor saves by bulk statements is told, and the other dataset's answer stays."""
    asked(world.client, world.other)
    run_before = asked(world.client, world.other)
    with heard() as changes:
        edit(world)
    assert changes, "nothing was told"
    assert {number for change in changes for number in change.datasets} == {world.edited}
    assert not any(change.everything or change.databases for change in changes)
    assert run_before[1] and asked(world.client, world.other) == run_before


def test_rules_hear_of_an_edit_as_what_it_may_be(world: World) -> None:
    """Intent: a save may have changed columns; an entry that ignores all but one kind of change hears of its own."""
    with heard() as changes:
        _saved(world)
        world.put(description=json.dumps("text"))
    assert [change.operations() for change in changes] == [{"schema_change", "user_action"}, {"user_action"}]


def test_bulk_statements_concern_the_rows_that_they_change(superset_app: InProcess, world: World) -> None:
    """Intent: whatever else uses them: some rows, none, rows that get another owner, and what nobody draws."""
    with superset_app.app.app_context():
        from superset.connectors.sqla.models import SqlaTable, SqlMetric
        from superset.extensions import db
        from superset.models.core import Log

        def told(statement: Callable[[Any], Any]) -> list[tuple[list[int], bool]]:
            with heard() as changes:
                statement(db.session.query)
                db.session.commit()
            return [(list(change.datasets), change.everything) for change in changes]

        mine, own = SqlMetric.table_id == world.edited, ([world.edited], False)
        both = sorted((world.edited, world.other))
        assert told(lambda query: query(SqlMetric).filter(mine).update({"expression": "1"})) == [own]
        assert told(lambda query: query(SqlMetric).filter(SqlMetric.id == 0).update({"expression": "1"})) == []
        assert told(lambda query: query(SqlMetric).filter(SqlMetric.id.in_(set())).delete("fetch")) == []
        assert told(
            lambda query: query(SqlMetric).filter(mine).update({"table_id": world.other, "metric_name": "x"})
        ) == [([world.edited], True)]
        catalog = lambda query: query(SqlaTable).filter_by(database_id=world.database).update({"catalog": None})  # noqa: E731
        assert told(catalog) == [(both, False)]
        assert told(lambda query: query(Log).filter(Log.id == 0).delete()) == []
        assert told(lambda query: query(SqlMetric).filter_by(table_id=world.other).delete()) == [([world.other], False)]


def test_savepoints(superset_app: InProcess, world: World) -> None:
    """Intent: an edit is told after the outermost commit, whatever savepoints it has within."""
    with superset_app.app.app_context():
        from superset.connectors.sqla.models import SqlaTable
        from superset.extensions import db

        def told(*steps: str) -> list[list[int]]:
            datasets = {"edited": world.edited, "other": world.other}
            with heard() as changes:
                for place, step in enumerate(steps):
                    if step in datasets:
                        db.session.get(SqlaTable, datasets[step]).description = f"{place} {steps} {id(changes)}"
                        db.session.flush()
                    else:
                        getattr(db.session, step)()
                    assert not changes or place == len(steps) - 1, "told before the outermost commit"
            return [list(change.datasets) for change in changes]

        both, first = sorted((world.edited, world.other)), [world.edited]
        assert told("edited", "begin_nested", "other", "commit", "rollback") == []
        assert told("edited", "begin_nested", "other", "commit", "commit") == [both]
        assert told("edited", "begin_nested", "other", "rollback", "commit") == [first]
        assert told("begin_nested", "edited", "begin_nested", "other", "commit", "rollback", "commit") == []
        assert told("begin_nested", "edited", "begin_nested", "other", "rollback", "commit", "commit") == [
            [world.edited]
        ]
        assert told("begin_nested", "begin_nested", "other", "commit", "commit", "edited", "commit") == [both]
        assert told("edited", "close", "other", "commit") == [[world.other]]
