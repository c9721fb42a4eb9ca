"""A view's new definition, told to one process, is what all processes follow from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from superset_ext.cache import dependencies
from superset_ext.freshness.change import Change, Freshness, SourceTable
from superset_ext.freshness.relations.datasources import Following
from superset_ext.host.regions import chart_region
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table
from testing.edited import Sources, asked, run
from testing.in_process import InProcess

pytestmark = pytest.mark.thorough

SHAPES = """
CREATE TABLE old (owner text, v int); INSERT INTO old VALUES ('old', 1);
CREATE TABLE new (owner text, v int); INSERT INTO new VALUES ('new', 1);
CREATE TABLE aside (owner text, v int); INSERT INTO aside VALUES ('aside', 1);
CREATE VIEW shown AS SELECT owner, v FROM old;
CREATE VIEW over AS SELECT owner, v FROM shown;
"""
REDEFINED = "CREATE OR REPLACE VIEW shown AS SELECT owner, v FROM new"
TOLD: list[tuple[str, Operation, bool]] = [
    ("sqllab", "schema_change", True), ("webhook", "schema_change", True), ("webhook", "data_update", True),
    ("cli", "data_update", True), ("webhook", "data_update", False), ("sqllab", "data_update", False),
]  # fmt: skip


@dataclass
class World:
    """Charts of this process, and another process, which has its own memory and shares nothing but Redis."""

    superset: InProcess
    client: Any
    url: str
    database: int
    datasets: dict[str, int]
    other: Freshness

    def tell(self, source: Any, operation: Operation, table: str | None) -> None:
        """What the other process is told, of one table or of its whole database."""
        named: dict[str, Any] = {"databases": (self.database,)}
        if table is not None:
            named = {"tables": (SourceTable(self.database, Table("public", table)),)}
        with self.superset.app.app_context():
            self.other.changed(Change(source, operation, **named))


@pytest.fixture
def world(superset_app: InProcess, database_url: str) -> Iterator[World]:
    run(database_url, SHAPES)
    sources = Sources()
    with superset_app.app.app_context():
        database = sources.database("redefined", database_url)
        datasets = {name: sources.dataset(database, name) for name in ("shown", "over", "aside")}
    following = Following(60, lambda: None)
    region = lambda: chart_region(superset_app.app)  # noqa: E731
    other = Freshness(region, following.ancestors, None, following.forget, following.written)
    yield World(superset_app, superset_app.client(), database_url, database, datasets, other)
    with superset_app.app.app_context():
        sources.remove()


@pytest.mark.parametrize("name", ["shown", "over"])
@pytest.mark.parametrize(("source", "operation", "by_name"), TOLD)
def test_a_definition_told_to_another_process_is_followed(
    world: World, name: str, source: str, operation: Operation, by_name: bool
) -> None:
    """Intent: what is filled after the new definition was told depends on the new table, and not on the old one."""
    dataset = world.datasets[name]
    assert asked(world.client, dataset) == ([("old", 1)], False)
    run(world.url, REDEFINED)
    world.tell(source, operation, "shown" if by_name else None)
    assert asked(world.client, dataset) == ([("new", 1)], False)
    assert asked(world.client, dataset) == ([("new", 1)], True)
    run(world.url, "UPDATE new SET v = 2")
    world.tell("sqllab", "data_update", "new")
    assert asked(world.client, dataset) == ([("new", 2)], False)
    asked(world.client, dataset)
    world.tell("sqllab", "data_update", "old")
    assert asked(world.client, dataset)[1], "it still depends on the old table"


def test_what_is_remembered_is_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a source is asked once, and once more after a definition was told; a change of data asks nobody."""
    questions: list[Any] = []
    follow = dependencies.follow

    def counted(*args: Any) -> Any:
        from superset_ext.freshness.relations import views

        with pytest.MonkeyPatch.context() as patch:
            ask = views.ask
            patch.setattr(views, "ask", lambda *of: questions.append(of) or ask(*of))
            return follow(*args)  # type: ignore[misc]

    monkeypatch.setattr(dependencies, "follow", counted)
    counts = []
    for operation in (None, "data_update", "data_update", "schema_change", "data_update"):
        if operation is not None:
            world.tell("sqllab", operation, "aside" if operation == "schema_change" else "old")  # type: ignore[arg-type]
            world.tell("sqllab", "data_update", "old")
        asked(world.client, world.datasets["shown"])
        counts.append(len(questions))
    assert counts == [1, 1, 1, 2, 2]
