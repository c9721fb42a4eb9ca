# ruff: noqa: E501  (SQL and intents that are easier to read in one line)
"""What happens to charts when the source's disk is full, when the source is started anew, and when nothing is switched on."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.errors import AggregateError
from superset_ext.host import source_queries, substitutes
from testing.aggregate_tables import one, run
from testing.databases import postgres_in
from testing.in_process import InProcess
from testing.routed import MEAN, NUMBER, SOLD, ask, proven, rested, stock
from testing.routed_shop import Shop, shop_in
from tests.integration.aggregates.conftest import Make


@contextmanager
def small_disk(shop: Shop) -> Iterator[None]:
    """New tables of the source lie on a disk of two megabytes."""
    ((data,),) = shop.run("SHOW data_directory")
    with tempfile.TemporaryDirectory(prefix="small_disk") as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True)
        if mounted.returncode:
            pytest.skip("this machine lets nobody mount a small disk")
        try:
            owner = Path(data).stat()
            place = Path(folder) / "tablespace"
            place.mkdir(mode=0o700)
            for path in (Path(folder), place):
                subprocess.run(["chown", f"{owner.st_uid}:{owner.st_gid}", str(path)], check=True)
            _on_it(shop, f"CREATE TABLESPACE small LOCATION '{place}'", "SET default_tablespace = small")
            yield
        finally:
            shop.run("DROP SCHEMA IF EXISTS superset_ext_aggregates CASCADE; DROP TABLE IF EXISTS filler")
            _on_it(shop, "DROP TABLESPACE IF EXISTS small", "RESET default_tablespace")
            # Before PostgreSQL 15, sessions keep files open that others have dropped.
            subprocess.run(["umount", "--lazy", folder], check=True)


def _on_it(shop: Shop, tablespace: str, setting: str) -> None:
    """Make a tablespace or drop one, which no block of statements may, and set what new sessions use."""
    ((name,),) = shop.run("SELECT quote_ident(current_database())")
    shop.run(f"ALTER DATABASE {name} {setting}")
    shop.run(tablespace)


def _filled(shop: Shop) -> None:
    """Leave no room on that disk."""
    with shop.connection() as connection:
        run(connection, "CREATE TABLE IF NOT EXISTS filler (t text)")
        for rows in (256, 1):  # as far as it goes, then page by page
            try:
                while True:
                    run(connection, f"INSERT INTO filler SELECT repeat('x', 2000) FROM generate_series(1, {rows})")
            except psycopg2.errors.DiskFull:
                continue


LARGE = "SELECT id, COUNT(*) AS n, SUM(amount) AS a FROM sales GROUP BY id"
FULL = "the source's disk is full; nothing is left of what was made"


def test_a_full_disk_at_the_build(superset_app: InProcess, shop: Shop, make_for: Make) -> None:
    """Intent: an aggregate for which there is no room is not built, one line says why, nothing of it is left, writers go
    on, and charts are answered from the base."""
    with small_disk(shop):
        shop.run("INSERT INTO sales (shop, amount) SELECT 'shop1', i % 7 FROM generate_series(1, 60000) i")
        with pytest.raises(AggregateError) as raised:
            shop.build(LARGE, "large")
        assert str(raised.value) == FULL
        with shop.connection() as connection:
            assert run(connection, "SELECT count(*) FROM pg_tables WHERE tablename = 'large'") == [(0,)]
        shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
        make_for(shop)
        answer = ask(superset_app, shop.sales)
        assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown and answer.status == 200


def test_a_full_disk_at_a_refresh(superset_app: InProcess, shop: Shop, make_for: Make) -> None:
    """Intent: an aggregate that cannot be refreshed is as it was, and not exact; its line says why; charts are answered
    from the base, and from the aggregate again once there is room and it was refreshed."""
    with small_disk(shop):
        shop.build()
        substitute = make_for(shop)
        proven(superset_app, substitute, shop.sales)
        assert ask(superset_app, shop.sales).is_routed
        shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
        _filled(shop)
        with shop.connection() as connection:
            with pytest.raises(AggregateError) as raised:
                refresh(connection, "by_day", whole=True)
            assert str(raised.value) == FULL
            kept = one(connection, "by_day")
        assert (kept.state, kept.is_exact) == ("ready", False) and "disk is full" in (kept.reason or "")
        answer = ask(superset_app, shop.sales)
        assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown and answer.status == 200
        shop.run("DROP TABLE filler")
        with shop.connection() as connection:
            refresh(connection, "by_day", whole=True)
        substitute.catalogue.look(shop.number)
        substitute._waiting.clear()
        answer = ask(superset_app, shop.sales)
        assert answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown


def test_a_source_that_is_started_anew(in_process: InProcess, tmp_path: Path, make_for: Make) -> None:
    """Intent: while the source is away a chart fails as without the package; as soon as it is back charts are answered, at
    first by Superset's own statement, and then from the aggregate again."""
    with postgres_in(tmp_path / "postgres") as server:
        url = server.create_database("shop")
        with shop_in(in_process, url) as shop, in_process.awake():
            shop.build()
            substitute = make_for(shop)
            proven(in_process, substitute, shop.sales)
            assert ask(in_process, shop.sales).is_routed
            rested(substitute)
            server.stop()
            answer = ask(in_process, shop.sales)
            assert answer.status != 200 and answer.shown == stock(in_process, shop.sales).shown
            server.start()
            answer = ask(in_process, shop.sales)
            assert answer.status == 200 and answer.shown == stock(in_process, shop.sales).shown
            substitute.catalogue.look(shop.number)
            substitute._waiting.clear()
            answer = ask(in_process, shop.sales)
            assert answer.is_routed and answer.shown == stock(in_process, shop.sales).shown


CHARTS: list[dict[str, Any]] = [
    {}, {"metrics": [SOLD, MEAN], "orderby": [[SOLD, False]], "row_limit": 3},
    {"columns": ["shop"], "metrics": [NUMBER], "series_columns": ["shop"], "series_limit": 2},
    {"columns": [], "filters": [{"col": "shop", "op": "IN", "val": ["shop1", "shop4"]}]},
]  # fmt: skip


@pytest.mark.parametrize("is_named", [False, True])
def test_off_is_off(
    superset_app: InProcess, shop: Shop, make_for: Make, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: with aggregates on the source and nothing switched on, or rules that name other datasets, PostgreSQL gets
    the very bytes that it gets from Superset without the seam, and nothing besides."""
    from superset.models.core import Database

    shop.build()
    if is_named:
        substitute = make_for(shop)
        rule = substitute._settings.aggregates[0].model_copy(update={"database": "another"})
        substitute._settings = substitute._settings.model_copy(update={"aggregates": (rule,)})
    else:
        assert substitutes.substitutes == ()
        monkeypatch.setattr(
            source_queries, "_substituted", None
        )  # nothing is made or asked: whatever does fails the chart
    queries: list[bytes] = []

    class Recording(psycopg2.extensions.cursor):  # type: ignore[misc]
        def execute(self, query: Any, values: Any = None) -> None:
            super().execute(query, values)
            queries.append(self.query)

    def connected(uri: Any, params: dict[str, Any], *_: Any) -> tuple[Any, dict[str, Any]]:
        return uri, {**params, "connect_args": {**params.get("connect_args", {}), "cursor_factory": Recording}}

    monkeypatch.setitem(superset_app.app.config, "DB_CONNECTION_MUTATOR", connected)
    texts: list[list[bytes]] = []
    for get_df in (Database.get_df, Database.get_df.__wrapped__):
        monkeypatch.setattr(Database, "get_df", get_df)
        ask(superset_app, shop.sales)  # whatever a first connection of a process asks
        queries.clear()
        for query in CHARTS:
            ask(superset_app, shop.sales, **query)
        texts.append([*queries])
    selects = [[text for text in some if text.startswith(b"SELECT\n")] for some in texts]
    assert selects[0] == selects[1] and len(selects[0]) == len(CHARTS)
    assert not [text for text in texts[0] if b"superset_ext" in text]
