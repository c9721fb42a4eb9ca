"""Windows onto other sources: what is seen through one carries the tags of what lies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from superset_ext.cache import dependencies
from superset_ext.cache.sent import Sent
from superset_ext.host.windows import Windows
from superset_ext.settings import Catalog
from superset_ext.sqltables.reads import reads
from testing.asking import Asking
from testing.in_process import ADMIN, InProcess

pytestmark = pytest.mark.timeout(300)
ANY = {"any"}


@pytest.fixture
def asking(superset_app: InProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A source with a table, a view of it, and another table; the meta database is allowed."""
    from superset.extensions import feature_flag_manager

    monkeypatch.setitem(feature_flag_manager._feature_flags, "ENABLE_SUPERSET_META_DB", True)
    made = Asking(superset_app, database_url)
    made.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE TABLE other (v int)")
    made.sql("CREATE VIEW shown AS SELECT v FROM t")
    return made


@pytest.fixture
def meta(asking: Asking) -> int:
    """Superset's meta database."""
    return asking.database(f"meta_{asking.name}", "superset://")


@pytest.mark.parametrize("name", ["t", "shown"])
@pytest.mark.parametrize("told", ["its table", "its database", "by the metadata"])
def test_the_meta_database_shows_changes_of_the_databases_behind_it(
    asking: Asking, meta: int, name: str, told: str
) -> None:
    """Intent: `"source.public.t"` is a table of another database, or a view there; a change told of it must be seen."""
    dataset = asking.dataset(f"{asking.name}.public.{name}", None, database_id=meta, schema=None)
    assert asking.ask(dataset) == (False, 1)
    assert asking.ask(dataset) == (True, 1)
    asking.told("other")
    assert asking.ask(dataset) == (True, 1)
    asking.sql("INSERT INTO t VALUES (100)")
    if told == "its table":
        asking.told("t")
    elif told == "its database":
        asking.told(databases=(asking.database_id,))
    else:
        _edit(asking)
    assert asking.ask(dataset) == (False, 101)
    assert asking.ask(dataset) == (True, 101)


def _edit(asking: Asking) -> None:
    from superset.models.core import Database

    with asking.edited(Database, asking.database_id) as database:
        database.cache_timeout = 77


def test_a_join_over_two_databases_depends_on_both(asking: Asking, meta: int) -> None:
    """Intent: a virtual dataset of the meta database, with names as people write them."""
    second = f"second {asking.name}"
    asking.database(second, asking.url)
    sql = f'SELECT a.v FROM "{asking.name}.public.t" a JOIN "{second}.public.shown" b ON a.v = b.v'
    dataset = asking.dataset("both", sql, database_id=meta, schema=None)
    assert asking.ask(dataset) == (False, 1)
    assert asking.ask(dataset) == (True, 1)
    asking.told("t")
    assert asking.ask(dataset) == (False, 1)


def test_answers_of_the_meta_database_are_each_users_own(asking: Asking, meta: int) -> None:
    """Intent: it checks rights inside of the query; nobody gets another's answer, nor an own one after the right."""
    from superset.exceptions import SupersetSecurityException
    from superset.extensions import db, security_manager
    from superset.models.core import Database

    dataset = asking.dataset(f"{asking.name}.public.t", None, database_id=meta, schema=None)
    name = f"reader_{asking.name}"
    with asking.app.app_context():
        role = security_manager.add_role(name)
        for number in (meta, asking.database_id):
            perm = db.session.get(Database, number).perm
            role.permissions.append(security_manager.add_permission_view_menu("database_access", perm))
        security_manager.add_user(name, name, name, f"{name}@example.org", [role], password="inside-1!")
        db.session.commit()
    body = asking.body(dataset)
    assert [bool(asking.answer(body, user)["is_cached"]) for user in (ADMIN, name, name)] == [False, False, True]
    with asking.app.app_context():
        role = security_manager.find_role(name)
        role.permissions = [right for right in role.permissions if f"(id:{meta})" in right.view_menu.name]
        db.session.commit()
    with pytest.raises(SupersetSecurityException):
        asking.answer(body, name)
    assert asking.answer(body, ADMIN)["is_cached"]


@pytest.fixture
def seen(asking: Asking) -> Iterator[Any]:
    """A function: what SQL carries beyond its own database, asked of an engine by a URL, with a setting."""
    follow = dependencies.follow
    assert follow is not None

    def tags(uri: str, sql: str, catalogs: dict[str, str], catalog: str | None = None) -> set[str]:
        from superset.models.core import Database

        named = [Catalog(database="Lake", catalog=name, source=source) for name, source in catalogs.items()]
        place = Sent(Database(id=999, database_name="lake", sqlalchemy_uri=uri), None, catalog)
        with asking.app.app_context():
            return Windows(named, follow).tags(place, reads(sql, place.database.db_engine_spec.engine))

    yield tags


TRINO, DUCK, MSSQL, ORACLE = "trino://u@h/hive/s", "duckdb:////x/lake.db", "mssql+pymssql://h/d", "oracle://h/d"
LITE, SNOW = "sqlite:////x/lake.db", "snowflake://u:p@account/d/s"
THROUGH = [
    (TRINO, "SELECT 1 FROM pg.public.shown"), (TRINO, 'SELECT 1 FROM own JOIN "PG"."public".t ON true'),
    (DUCK, "SELECT 1 FROM pg.public.shown"), (DUCK, "SELECT 1 FROM pg.t"), (LITE, "SELECT 1 FROM pg.t"),
    (MSSQL, "SELECT 1 FROM pg.d.public.t"), (ORACLE, "SELECT 1 FROM public.t@pg"), (SNOW, "SELECT 1 FROM pg.public.t"),
    ("starrocks://u@h/d", "SELECT 1 FROM pg.public.t"),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "sql"), THROUGH)
def test_a_mapped_catalog_carries_the_tags_behind_it(asking: Asking, seen: Any, uri: str, sql: str) -> None:
    """Intent: a catalog of one database that is mapped to another has that one's tags, views followed."""
    number = asking.database_id
    assert seen(uri, sql, {"pg": asking.name}) >= {f"table:{number}:public.t", f"database:{number}"}
    assert "any" not in seen(uri, sql, {"pg": asking.name})


@pytest.mark.parametrize(("uri", "sql"), [case for case in THROUGH if case[0] != SNOW])
def test_a_catalog_that_nobody_mapped_carries_any(seen: Any, uri: str, sql: str) -> None:
    """Intent: what lies behind an unknown catalog, or one that is mapped to nothing, may be anything."""
    assert seen(uri, sql, {}) == ANY
    assert seen(uri, sql, {"pg": "no such database"}) == ANY


@pytest.mark.parametrize(
    ("uri", "sql", "catalog"),
    [
        (TRINO, "SELECT 1 FROM hive.s.t", None), (TRINO, "SELECT 1 FROM s.t", None), (TRINO, "SELECT 1 FROM t", "hive"),
        (TRINO, "SELECT 1 FROM mine.s.t", None), (DUCK, "SELECT 1 FROM lake.main.t", None),
        (DUCK, "SELECT 1 FROM main.t", None), (DUCK, "SELECT 1 FROM t", None), (LITE, "SELECT 1 FROM main.t", None),
        (SNOW, "SELECT 1 FROM other.s.t", None), ("bigquery://p", "SELECT 1 FROM `q.d.t`", None),
        ("postgresql://h/d", "SELECT 1 FROM d.s.t", None), (MSSQL, "SELECT 1 FROM d.dbo.t", None),
    ],
)  # fmt: skip
def test_its_own_catalogs_carry_nothing_more(seen: Any, uri: str, sql: str, catalog: str | None) -> None:
    """Intent: only what changed; own catalogs, parts of one warehouse, and a catalog that is mapped to its own."""
    assert seen(uri, sql, {"mine": "lake"}, catalog) == set()


def test_a_dataset_in_another_catalog_looks_through_it(asking: Asking, seen: Any) -> None:
    """Intent: the dataset's catalog counts for names without one."""
    assert seen(TRINO, "SELECT 1 FROM public.t", {}, "pg") == ANY
    assert f"table:{asking.database_id}:public.t" in seen(TRINO, "SELECT 1 FROM public.t", {"pg": asking.name}, "pg")
