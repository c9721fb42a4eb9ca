"""Which aggregates are proposed: on a real source, and by the command, from a real query log."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.aggregates.match import Match, match
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.propose.asks import Asked
from superset_ext.aggregates.propose.considering import Proposed
from superset_ext.aggregates.propose.proposals import propose
from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Queried, Scope
from superset_ext.monitor.log.queries import QueryLog
from superset_ext.plans.indexes.source import only_reading
from testing.aggregates import Engine, built, differs, postgresql, read
from testing.databases import Databases
from testing.in_process import InProcess

NAME = f"aggregates {uuid.uuid4().hex[:8]}"
TABLE = """
CREATE TABLE sales AS SELECT i AS id, i % 50 AS shop, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END AS kind,
    timestamp '2023-01-01' + (i % 400) * interval '1 day' + (i % 999) * interval '1 second' AS at,
    (i % 977)::numeric(10, 2) AS price
FROM generate_series(1, 60000) AS s(i)
"""
BY_SHOP = "SELECT shop, SUM(price) AS s FROM public.sales GROUP BY shop ORDER BY shop LIMIT 10"
STATEMENTS = [
    BY_SHOP,
    "SELECT DATE_TRUNC('month', at) AS m, AVG(price) AS a FROM public.sales WHERE at >= TO_TIMESTAMP("
    "'2023-03-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') GROUP BY 1 ORDER BY a DESC LIMIT 10000",
    "SELECT DATE_TRUNC('week', at) AS w, MAX(price) AS m FROM public.sales WHERE kind = 'a' GROUP BY 1",
    "SELECT id, COUNT(*) AS n FROM public.sales GROUP BY id ORDER BY id LIMIT 5",
    "SELECT shop, STDDEV(price) AS d FROM public.sales GROUP BY shop",
    "SELECT kind, COUNT(*) AS n FROM (SELECT * FROM public.sales WHERE shop > 5) AS v GROUP BY kind",
]


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    """A source with one table."""
    with databases.empty() as made:
        with closing(psycopg2.connect(made)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.execute("ANALYZE sales")
        yield made


def proposed(url: str, budget: float | None = None) -> Proposed:
    asked = [Asked(f"f{place}", sql, None, 10.0, 5.0, (place,)) for place, sql in enumerate(STATEMENTS)]
    with closing(psycopg2.connect(url)) as connection, only_reading(connection) as cursor:
        return propose(cursor, asked, budget)


def test_what_is_proposed_serves_and_is_as_large_as_was_estimated(url: str) -> None:
    """Intent: each proposal, once built, gives the answers of the statements that it is said to serve; its rows and its
    bytes are about as estimated; what no table of groups can make smaller is not proposed."""
    result = proposed(url)
    served = {asked.fingerprint for one in result.proposals for asked in one.serves}
    assert served == {"f0", "f1", "f2", "f5"} and (result.answerable, result.served) == (5, 4)
    assert [(one.reason, one.statements) for one in result.refused] == [("STDDEV cannot be added up from groups", 1)]
    with postgresql(url) as engine:
        engine.run("CREATE SCHEMA superset_ext_aggregates")
        for proposal in result.proposals:
            view = built(engine, proposal.view)
            assert view.rows == pytest.approx(proposal.estimate.rows, rel=0.3, abs=3), proposal
            _, ((size,),) = engine.run(f"SELECT pg_relation_size('{view.table}')")
            assert size <= proposal.bytes + 8192 and proposal.bytes < 3 * size + 20_000
            for asked in proposal.serves:
                answers_alike(engine, asked.sql, view)
        engine.run("DROP SCHEMA superset_ext_aggregates CASCADE")


def answers_alike(engine: Engine, sql: str, view: Any) -> None:
    result = match(read(sql, engine.facts()), view, Allowed(zone="UTC"))
    assert isinstance(result, Match), result
    (types, rows), (our_types, ours) = engine.run(sql), engine.run(result.sql)
    assert types == our_types and not differs(rows, ours, allowed=EXACT) and rows


def test_a_budget_is_kept(url: str) -> None:
    """Intent: what does not fit is not proposed; what was asked is counted all the same."""
    result = proposed(url, 1024)
    assert (result.proposals, result.served, result.answerable, result.seconds) == ((), 0, 5, 60.0)


@pytest.fixture(scope="module")
def known(in_process: InProcess, url: str) -> Iterator[None]:
    """Superset knows the source; the log has that it was asked, and SQL Lab's history with which values."""
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.sql_lab import Query

    with in_process.awake(), in_process.app.app_context():
        database = Database(database_name=NAME)
        database.set_sqlalchemy_uri(url)
        db.session.add(database)
        db.session.flush()
        for sql in (BY_SHOP, STATEMENTS[4]):
            db.session.add(
                Query(client_id=uuid.uuid4().hex[:11], database=database, sql=sql, executed_sql=sql, status="success")
            )
        db.session.commit()
        _log(in_process.url, database.id)
    yield
    with in_process.awake(), in_process.app.app_context():
        database = db.session.query(Database).filter_by(database_name=NAME).one()
        db.session.query(Query).filter_by(database_id=database.id).delete()
        db.session.delete(database)
        db.session.commit()


def _log(url: str, database_id: int) -> None:
    scope = Scope(channel="web", database_id=database_id)
    with closing(LogDatabase(url)) as database:
        log = QueryLog(database, lambda: None)
        for sql in (BY_SHOP, STATEMENTS[4]) * 2:
            log._hear("chart", Queried("chart", database_id, "postgresql", sql, 7000.0, time.monotonic(), scope, 1))
        log.flush()


def test_the_command_proposes_and_makes_nothing(superset_app: InProcess, known: None, url: str) -> None:
    """Intent: from the log to statements that somebody can run, with size, upkeep and who gains; and to reasons."""
    result = superset_app.perf("aggregates", "propose", "--database", NAME, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    answer = json.loads(result.output)
    (proposal,) = answer["proposals"]
    assert proposal["create"][0].startswith('CREATE TABLE superset_ext_aggregates."sales_1" AS SELECT "shop"')
    assert proposal["seconds_saved_a_day"] == pytest.approx(2.0, rel=0.01)  # 14 s of a week
    assert [one["reason"] for one in answer["refused"]] == ["STDDEV cannot be added up from groups"]
    text = " ".join(superset_app.perf("aggregates", "propose", "--database", NAME).output.split())
    for part in (
        "1 aggregate of",
        "superset perf aggregates build --database",
        "are read instead of",
        "Upkeep it follows each row of its table",
        "STDDEV",
    ):
        assert part in text
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('superset_ext_aggregates')")
        assert cursor.fetchone() == (None,)
