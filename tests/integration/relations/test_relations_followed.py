"""Relations for Superset's datasources: asked, remembered, forgotten."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.freshness.relations import answers, postgresql, views
from superset_ext.freshness.relations.views import Followed
from testing.relations import run
from testing.sql_text import tables
from testing.stock_app import stock_app

PATIENCE = 120.0  # seconds; a test that waits longer has failed


LIMITS = views._LIMITS


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Superset's databases


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Superset's app, for the config that its databases read."""
    metadata = tmp_path_factory.mktemp("views") / "superset.db"
    uri = f"sqlite:///{metadata}"
    names = {"CONTENT_SECURITY_POLICY_WARNING": False, "PREVENT_UNSAFE_DB_CONNECTIONS": False, "SECRET_KEY": "a secret"}
    with stock_app("superset_config_of_views", SQLALCHEMY_DATABASE_URI=uri, **names) as made:
        yield made


@dataclass
class Sources:
    """Databases of Superset, and how often each was connected to."""

    number: int = 0
    connected: list[tuple[str | None, str | None]] = field(default_factory=list)

    def add(self, url: str) -> Any:
        from superset.models.core import Database

        self.number += 1
        made = Database(id=self.number, database_name=f"source {self.number}", impersonate_user=False)
        made.set_sqlalchemy_uri(url)
        connection = made.get_raw_connection

        def counted(catalog: str | None = None, schema: str | None = None) -> Any:
            self.connected.append((catalog, schema))
            return connection(catalog=catalog, schema=schema)

        made.get_raw_connection = counted
        return made


@pytest.fixture
def sources(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    monkeypatch.setattr(views, "_LIMITS", LIMITS.replace("3000", f"{PATIENCE * 1000:.0f}"))
    with app.app_context():
        yield Sources()


def test_a_chart_is_followed_in_the_schema_of_its_dataset(sources: Sources, url: str) -> None:
    """Intent: the search path is that which Superset gives the query, and no connection is left open."""
    database = sources.add(url + "?application_name=followed")
    assert Followed().tables(database, None, None, tables("v1, gone")) == tables("public.v1, public.base, gone")
    assert Followed().tables(database, "Far", None, tables("base, gone")) == tables("far.base, far.gone")
    assert sources.connected == [(None, None), (None, "Far")]
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'followed'"
    until(lambda: run(url, left) == [(0,)])


def test_the_catalog_is_another_database_of_the_server(sources: Sources, url: str, database_url: str) -> None:
    """Intent: Superset's catalogs of PostgreSQL are its databases; the same name is another table there."""
    run(database_url, "CREATE TABLE elsewhere (a int); CREATE VIEW v1 AS SELECT a FROM elsewhere")
    database, followed = sources.add(url), Followed()
    other = database_url.rsplit("/", 1)[1]
    assert followed.tables(database, None, None, tables("v1")) == tables("public.v1, public.base")
    assert followed.tables(database, None, other, tables("v1")) == tables("public.v1, public.elsewhere")


def test_answers_are_remembered_for_a_while(sources: Sources, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: only what is new is asked, and what is old."""
    database, followed = sources.add(url), Followed(seconds=60)
    assert followed.tables(database, None, None, tables("v1, gone")) == tables("public.v1, public.base, gone")
    assert followed.tables(database, None, None, tables("v1")) == tables("public.v1, public.base")
    assert followed.tables(database, None, None, tables("gone")) == tables("gone")
    assert len(sources.connected) == 1
    assert followed.tables(database, None, None, tables("v1, other")) == tables("public.v1, public.base, public.other")
    assert followed.tables(database, "public", None, tables("v1")) == tables("public.v1, public.base")
    assert len(sources.connected) == 3
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert followed.tables(database, None, None, tables("v1")) == tables("public.v1, public.base")
    assert len(sources.connected) == 4


def test_an_edited_database_is_another_one(sources: Sources, url: str) -> None:
    """Intent: its URL may have changed."""
    database, followed = sources.add(url), Followed()
    followed.tables(database, None, None, tables("v1"))
    database.changed_on = datetime(2026, 1, 1)
    followed.tables(database, None, None, tables("v1"))
    assert len(sources.connected) == 2


def test_an_impersonated_user_has_a_search_path_of_their_own(sources: Sources, url: str, app: Any) -> None:
    """Intent: PostgreSQL's default search path begins with the user's name."""
    from flask import g

    database, followed = sources.add(url), Followed()
    for impersonated in (False, True):
        database.impersonate_user = impersonated
        for name in ("postgres", "somebody"):
            with app.app_context():
                g.user = SimpleNamespace(username=name)
                followed.tables(database, None, None, tables("v1"))
    assert len(sources.connected) == 3


def test_what_is_forgotten_is_asked_again(sources: Sources, database_url: str, url: str) -> None:
    """Intent: SQL Lab gave a view another definition; other databases are not asked for it."""
    run(database_url, "CREATE TABLE one (a int); CREATE TABLE two (a int); CREATE VIEW v AS SELECT a FROM one")
    database, other, followed = sources.add(database_url), sources.add(url), Followed()
    followed.tables(other, None, None, tables("v1"))
    assert followed.tables(database, None, None, tables("v")) == tables("public.v, public.one")
    run(database_url, "CREATE OR REPLACE VIEW v AS SELECT a FROM two")
    assert followed.tables(database, None, None, tables("v")) == tables("public.v, public.one")
    followed.forget(database.id)
    assert followed.tables(database, None, None, tables("v")) == tables("public.v, public.two")
    followed.tables(other, None, None, tables("v1"))
    assert len(sources.connected) == 3


def test_what_is_forgotten_meanwhile_is_not_remembered(sources: Sources, url: str) -> None:
    """Intent: an answer that was given before the view changed does not outlive that."""
    database, followed = sources.add(url), Followed()
    connection = database.get_raw_connection

    @contextmanager
    def forgetting(**place: Any) -> Iterator[Any]:
        with connection(**place) as made:
            yield made
        followed.forget(database.id)

    database.get_raw_connection = forgetting
    assert followed.tables(database, None, None, tables("v1")) == tables("public.v1, public.base")
    database.get_raw_connection = connection
    followed.tables(database, None, None, tables("v1"))
    assert len(sources.connected) == 2


def test_memory_is_bounded(sources: Sources, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: SQL that names ever new tables does not fill a process."""
    monkeypatch.setattr(answers, "MOST", 5)
    database, followed = sources.add(url), Followed()
    for number in range(10):
        followed.tables(database, None, None, tables(f"t{number}"))
        assert len(followed._answers._known) <= 5
    followed.tables(database, None, None, tables("t9"))
    assert len(sources.connected) == 10


def test_a_source_that_is_away_costs_the_answer(sources: Sources, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: the chart is answered, carries the tag of any table, and the log says why without a password."""
    database, followed = sources.add("postgresql://somebody:hush@127.0.0.1:1/nothing"), Followed()
    with caplog.at_level(logging.WARNING):
        assert followed.tables(database, None, None, tables("v1")) is None
        assert followed.tables(database, None, None, tables("v1")) is None
        assert followed.changed(database, tables("v1")) is None
    assert sources.connected == [(None, None), (None, None)]  # remembered for a chart, but not for a change
    (message,) = [record.getMessage() for record in caplog.records if record.name == "superset_ext.cache"]
    assert "'source 1'" in message and "Connection refused" in message and "hush" not in message


def test_a_slow_source_is_not_waited_for(
    sources: Sources, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: a chart waits three seconds at most, and the limit is that of one transaction."""
    assert "'3000'" in LIMITS
    monkeypatch.setattr(views, "_LIMITS", LIMITS.replace("3000", "200"))
    monkeypatch.setattr(postgresql, "query_text", lambda _name: "SELECT pg_sleep(60)")
    with caplog.at_level(logging.WARNING):
        assert Followed().tables(sources.add(url), None, None, tables("v1")) is None
    assert "statement timeout" in caplog.text


def test_a_view_that_calls_a_function_costs_its_own_answer(sources: Sources, url: str) -> None:
    """Intent: of charts on other tables that were asked with it, nothing is lost."""
    database, followed = sources.add(url), Followed()
    assert followed.tables(database, None, None, tables("opaque, v1")) is None
    assert followed.tables(database, None, None, tables("v1")) == tables("public.v1, public.base")
    assert len(sources.connected) == 1


def test_a_changed_partition_is_a_changed_table(sources: Sources, url: str, database_url: str) -> None:
    """Intent: who loads a partition need not know what it is a part of; a view is no part of anything."""
    followed, database = Followed(), sources.add(url)
    changed = followed.changed(database, tables("sales_2026_1, public.other"))
    assert changed == tables("public.sales_2026_1, public.sales_2026, public.sales, public.other")
    assert followed.changed(database, tables("staff, first, opaque")) == tables(
        "public.staff, public.people, public.first, public.opaque"
    )
    run(database_url, "CREATE TABLE new (a int)", "CREATE TABLE whole (a int) PARTITION BY LIST (a)")
    database = sources.add(database_url)
    assert followed.changed(database, tables("new")) == tables("public.new")
    run(database_url, "ALTER TABLE whole ATTACH PARTITION new FOR VALUES IN (1)")
    assert followed.changed(database, tables("new")) == tables("public.new, public.whole")


def test_a_table_that_is_gone_may_have_been_a_partition(sources: Sources, url: str, database_url: str) -> None:
    """Intent: DROP TABLE of a partition takes rows from a table that nobody can name any more."""
    followed = Followed()
    assert followed.changed(sources.add(url), tables("public.dropped")) is None
    database = sources.add(database_url)
    assert followed.changed(database, tables("public.dropped")) == tables("public.dropped")
    run(database_url, "CREATE TABLE whole (a int); CREATE TABLE part () INHERITS (whole); DROP TABLE part")
    assert followed.changed(database, tables("part")) is None


def test_other_engines_know_their_default_schema(sources: Sources, tmp_path: Path) -> None:
    """Intent: `orders` and `main.orders` are one tag, whoever writes it, and views are left alone."""
    database, followed = sources.add(f"sqlite:///{tmp_path / 'source.db'}"), Followed()
    asked = []
    default = database.get_default_schema
    database.get_default_schema = lambda catalog: asked.append(catalog) or default(catalog)
    assert followed.tables(database, None, None, tables("orders, s.x")) == tables("main.orders, s.x")
    assert followed.changed(database, tables("orders")) == tables("main.orders")
    assert asked == [None]
    assert followed.tables(database, "aside", None, tables("orders")) == tables("aside.orders")
    assert followed.tables(database, None, "other", tables("s.x")) == tables("s.x")
    assert asked == [None] and sources.connected == []
    followed.forget(database.id)
    assert followed.tables(database, None, None, tables("orders")) == tables("main.orders")
    assert asked == [None, None]


def test_a_default_schema_that_is_not_said_is_unknown(sources: Sources, tmp_path: Path) -> None:
    """Intent: were it left out, an entry would carry another tag than the change that is told later."""
    database, followed = sources.add(f"sqlite:///{tmp_path / 'source.db'}"), Followed()

    def fails(_catalog: str | None) -> str:
        raise RuntimeError("hush")

    database.get_default_schema = fails
    assert followed.tables(database, None, None, tables("orders")) is None
    assert followed.changed(database, tables("orders")) is None
    assert followed.tables(database, None, None, tables("s.orders")) == tables("s.orders")
    database.get_default_schema = lambda _catalog: None
    followed.forget(database.id)
    assert followed.tables(database, None, None, tables("orders")) == tables("orders")


@pytest.mark.parametrize("engine", ["redshift", "cockroachdb"])
def test_relatives_of_postgresql_are_not_asked(sources: Sources, url: str, engine: str) -> None:
    """Intent: their catalogs are others."""
    database, known = sources.add(url), type(sources.add(url)).db_engine_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(database), "db_engine_spec", property(lambda _self: SimpleNamespace(engine=engine)))
        assert Followed().tables(database, "s", None, tables("v1")) == tables("s.v1")
    assert type(database).db_engine_spec is known
    assert sources.connected == []


def test_a_database_that_is_not_well_set_does_not_raise(sources: Sources, url: str) -> None:
    """Intent: nor does anything else that Superset may find wrong with it."""
    database = sources.add(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(database), "db_engine_spec", property(lambda _self: 1 / 0))
        assert Followed().tables(database, None, None, tables("v1")) is None
        assert Followed().changed(database, tables("v1")) is None
