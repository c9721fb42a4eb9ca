"""Windows onto other sources: what is seen through one carries the tags of what lies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
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
@pytest.mark.parametrize("subject", ["its table", "its database", "by the metadata"])
def test_the_meta_database_shows_changes_of_the_databases_behind_it(
    asking: Asking, meta: int, name: str, subject: str
) -> None:
    """Intent: `"source.public.t"` is a table of another database, or a view there; a change told of it must be seen."""
    dataset = asking.dataset(f"{asking.name}.public.{name}", None, database_id=meta, schema=None)
    assert asking.ask(dataset) == (False, 1)
    assert asking.ask(dataset) == (True, 1)
    asking.told("other")
    assert asking.ask(dataset) == (True, 1)
    asking.sql("INSERT INTO t VALUES (100)")
    if subject == "its table":
        asking.told("t")
    elif subject == "its database":
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


FOREIGN = """
CREATE FOREIGN DATA WRAPPER postgres_fdw; CREATE SERVER "Sales" FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE plain (v int) SERVER "Sales";
CREATE FOREIGN TABLE renamed (v int) SERVER "Sales" OPTIONS (schema_name 'public', table_name 'shown');
CREATE FOREIGN TABLE asked (v int) SERVER "Sales" OPTIONS (query 'SELECT 1 AS v');
CREATE VIEW over_it AS SELECT r.v FROM renamed r JOIN other ON true; CREATE VIEW local AS SELECT v FROM other;
CREATE MATERIALIZED VIEW kept AS SELECT v FROM renamed WITH NO DATA;
CREATE TABLE parted (v int) PARTITION BY LIST (v); CREATE TABLE first PARTITION OF parted FOR VALUES IN (1);
CREATE FOREIGN TABLE second PARTITION OF parted FOR VALUES IN (2) SERVER "Sales" OPTIONS (table_name 't')
"""


@pytest.fixture
def over(asking: Asking, databases: Any) -> Iterator[Any]:
    """A function: what SQL on a database with foreign tables of the other source carries beside its own tables' tags.
    Nothing is read through them: the servers' wheel has no `postgres_fdw`, and the catalog is the same without it."""
    with databases.empty() as url:
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute("CREATE TABLE other (v int);" + FOREIGN)
        number = asking.database(f"over_{asking.name}", url)

        def tags(sql: str, catalogs: dict[str, str], database_id: int = number) -> set[str]:
            from superset.extensions import db
            from superset.models.core import Database

            named = [Catalog(database=f"over_{asking.name}", catalog=name, source=to) for name, to in catalogs.items()]
            whole = dependencies.look_through.__self__  # type: ignore[union-attr]
            with asking.app.app_context():
                place = Sent(db.session.get(Database, database_id), None, None)
                return Windows(named, whole._follow, whole._foreign).tags(place, reads(sql, "postgresql"))

        yield tags


@pytest.mark.parametrize(
    ("sql", "behind"),
    [
        ("SELECT 1 FROM renamed", "t"), ("SELECT 1 FROM public.over_it", "t"), ("SELECT 1 FROM kept", "t"),
        ("SELECT 1 FROM parted", "t"), ("SELECT 1 FROM second", "t"), ("SELECT 1 FROM plain", "plain"),
    ],
)  # fmt: skip
def test_a_foreign_table_carries_the_tags_of_the_table_behind_it(
    asking: Asking, over: Any, sql: str, behind: str
) -> None:
    """Intent: where a setting says whose its server is: under another name, in views, as a partition; views there are
    followed. Where nobody says, or not of this server, it may show anything."""
    number = asking.database_id
    tags = over(sql, {"sales": asking.name})
    assert {f"table:{number}:public.{behind}", f"database:{number}"} <= tags and "any" not in tags
    assert over(sql, {}) == over(sql, {"other": asking.name}) == over(sql, {"sales": "no such database"}) == ANY


def test_a_query_behind_a_foreign_table_may_read_anything(asking: Asking, over: Any) -> None:
    """Intent: other wrappers take a query in a table's place; a mapping does not say what that reads."""
    assert over("SELECT 1 FROM asked", {"sales": asking.name}) == ANY


def test_local_tables_beside_foreign_ones_carry_nothing_more(asking: Asking, over: Any) -> None:
    """Intent: only what changed."""
    for sql in ("SELECT 1 FROM other", "SELECT 1 FROM local", "SELECT 1 FROM first"):
        assert over(sql, {}) == set()
