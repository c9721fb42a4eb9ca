"""A metadata database that a subscription of logical replication writes to, past all triggers of statements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from superset_ext.embedded.postgres import Postgres
from superset_ext.grants.metadata_stamps import MetadataStamps
from testing.databases import postgres_in, quick_folder, run_each
from testing.warming import until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("patient_grants")]
TABLES = """
CREATE TABLE ab_user (id int);
CREATE TABLE ab_user_role (id int PRIMARY KEY, user_id int, role_id int);
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server with a database that publishes, and one with the same tables."""
    with quick_folder(tmp_path) as folder, postgres_in(folder, wal_level="logical") as made:
        for name in ("published", "meta"):
            run_each(made.create_database(name), TABLES)
        run_each(made.url("published"), "CREATE PUBLICATION rights FOR TABLE ab_user_role")
        run_each(made.url("published"), "SELECT pg_create_logical_replication_slot('rights', 'pgoutput')")
        yield made


def test_nothing_holds_where_a_subscription_writes(server: Postgres) -> None:
    """Intent: rows of a subscription fire no trigger of a statement: a mark from before it ends, none is given while
    there is one, the reason is said, and afterwards all is as before."""
    url = server.url("meta")
    engine = create_engine(url)
    stamps = MetadataStamps(lambda: engine, lambda: ["ab_user_role"])
    stamps.install()
    assert stamps.look()
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    way = f"CONNECTION '{server.url('published')}' PUBLICATION rights WITH (create_slot = false)"
    run_each(url, f"CREATE SUBSCRIPTION rights {way}")
    assert not stamps.holds(mark) and stamps.now() is None
    run_each(server.url("published"), "INSERT INTO ab_user_role VALUES (1, 1, 1)")
    until(lambda: run_each(url, "SELECT count(*) FROM ab_user_role") == 1, 120)
    assert not stamps.look() and "ab_user_role" in stamps.missing and stamps.now() is None
    run_each(url, *(f"ALTER SUBSCRIPTION rights {how}" for how in ("DISABLE", "SET (slot_name = NONE)")))
    run_each(url, "DROP SUBSCRIPTION rights")
    stamps.install()
    assert stamps.look()
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    stamps._connections().dispose()
    engine.dispose()
