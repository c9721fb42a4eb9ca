"""Sources with the table `sales` that Superset knows, as new for each test, and what answers their charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from superset_ext.aggregates.service import removed
from superset_ext.host import substitutes
from testing.aggregate_tables import AS_NEW, SALES
from testing.databases import Databases
from testing.duckdb_shop import DuckShop, duck_shop, fill
from testing.in_process import InProcess
from testing.routed import Routed, rested, routed
from testing.routed_shop import Shop, shop_in

Make = Callable[..., Routed]
_KNOWN = ("aggregate_use", "aggregate_switched_off", "aggregate_state", "aggregate_refusal")


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Shop]:
    """On PostgreSQL; one for all tests of a file."""
    with databases.empty() as url, shop_in(in_process, url) as made:
        yield made


@pytest.fixture(scope="module")
def duck_source(in_process: InProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckShop]:
    """A DuckDB file; one for all tests of a file."""
    with duck_shop(in_process, tmp_path_factory.mktemp("duckdb") / "shop.duckdb") as made:
        yield made


@pytest.fixture
def nothing_known(superset_app: InProcess) -> None:
    """Nothing is known of any aggregate."""
    for table in _KNOWN:
        superset_app.rows(f"DELETE FROM superset_ext.{table}")


@pytest.fixture
def shop(source: Shop, nothing_known: None) -> Shop:
    """The source on PostgreSQL as new. Files about DuckDB have a `shop` of their own, which is `duck`."""
    source.run(AS_NEW)
    source.run(SALES)
    return source


@pytest.fixture
def duck(superset_app: InProcess, duck_source: DuckShop, nothing_known: None) -> Iterator[DuckShop]:
    """The DuckDB file as new; its aggregates are removed afterwards."""
    fill(duck_source.file)
    yield duck_source
    with superset_app.app.app_context():
        removed(superset_app.app, superset_app.package.log(), duck_source.number)


@pytest.fixture
def make_for(superset_app: InProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes the substitute of a process for a source, and has charts ask it."""

    def made(shop: Shop, **settings: Any) -> Routed:
        one = routed(superset_app, shop, **settings)
        monkeypatch.setattr(substitutes, "substitutes", (one,))
        everyone.append(one)
        return one

    everyone: list[Routed] = []
    yield made
    for one in everyone:
        rested(one)


@pytest.fixture
def make(shop: Shop, make_for: Make) -> Make:
    """The same for the source of the test."""
    return partial(make_for, shop)
