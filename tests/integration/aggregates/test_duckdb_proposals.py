"""Which aggregates are proposed for charts on a DuckDB file."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from superset_ext.aggregates.base import base
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose import duckdb as proposing
from superset_ext.aggregates.propose.asks import Asked, read
from superset_ext.aggregates.propose.considering import Considering
from superset_ext.aggregates.propose.duckdb import SAMPLE, Sizes
from superset_ext.aggregates.shape import shape_of
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB
from superset_ext.plans.rewrite.rewriting import parsed
from testing.duckdb_shop import SALES, DuckShop, fill
from testing.in_process import InProcess
from testing.probes import until
from testing.routed import SOLD, body, client

LOGGED = "SELECT count(*) FROM superset_ext.query_performance_log WHERE database_id = %s AND error IS NULL"


@pytest.fixture
def shop(duck: DuckShop) -> DuckShop:
    """The source with as many rows as are worth an aggregate."""
    fill(duck.file, SALES.replace("range(1, 1001)", "range(1, 30001)"))
    return duck


def test_what_charts_ask_is_proposed(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: what charts have asked of a DuckDB file is proposed for, with rows that were counted; the command that is
    printed builds it, and it is not proposed again."""
    query = {"columns": ["shop"], "metrics": [SOLD]}
    assert client(superset_app).post("/api/v1/chart/data", json=body(shop.sales, **query)).status_code == 200
    until(lambda: superset_app.rows(LOGGED, (shop.number,)) == [(1,)])
    words = ("aggregates", "propose", "--database", shop.name)
    done = superset_app.perf(*words, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    answer: dict[str, Any] = json.loads(done.stdout)
    (one,) = answer["proposals"]
    assert (one["rows"], one["rows_estimated"], one["base_rows"]) == (6.0, "counted", 30_000.0), answer
    text = superset_app.perf(*words).output
    assert "all of it is made anew where the source's file has changed" in text
    command = shlex.split(shlex.join(one["build"]))
    assert superset_app.perf(*command[2:], "--yes").exit_code == 0
    again = json.loads(superset_app.perf(*words, "--json").stdout)
    assert (again["proposals"], again["held"]) == ([], 1)


def _view(facts: DuckDB, sql: str) -> View:
    tree = parsed(sql, "duckdb")
    assert not isinstance(tree, str)
    return needs(shape_of(tree, "duckdb", base(tree, facts).columns)).view("superset_ext_aggregates.proposed")


def test_rows_are_counted_or_taken_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: of small relations all groups are counted; of large ones they are estimated from a sample, within a
    quarter of what there are; a query counts as a table does."""
    import duckdb

    monkeypatch.setattr(proposing, "SAMPLE", 20_000)
    assert SAMPLE > 20_000
    with closing(duckdb.connect()) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT i % 7 AS few, hash(i) % 3000 AS many, i AS n FROM range(200000) AS r(i);"
            "CREATE TABLE small AS SELECT i % 7 AS few FROM range(1000) AS r(i)"
        )
        facts = DuckDB(lambda sql, values: connection.execute(sql, list(values)).fetchall())
        sizes = Sizes(connection.cursor())
        small = _view(facts, "SELECT few, COUNT(*) AS c FROM small GROUP BY few")
        assert sizes.groups(small, small.keys).how == "counted" and sizes.groups(small, small.keys).rows == 7
        for relation in ("t", "(SELECT few, n FROM t WHERE n >= 0) AS q"):
            view = _view(facts, f"SELECT few, COUNT(*) AS c FROM {relation} GROUP BY few")
            assert sizes.total(view.relation) == 200_000
            assert sizes.groups(view, view.keys).rows == pytest.approx(7)
        view = _view(facts, "SELECT n, COUNT(*) AS c FROM t GROUP BY n")
        assert sizes.groups(view, view.keys).rows == pytest.approx(200_000, rel=0.25)
        assert sizes.bytes(view, 200_000) > sizes.bytes(view, 7) > 0 and sizes.base_bytes(view.relation) > 0
        assert replace(sizes.types(view), rows=None).keys == view.keys


def test_a_month_of_days_is_proposed_where_no_time_is_infinite() -> None:
    """Intent: a chart by month whose range ends within one needs an aggregate by day. It is proposed where all times
    are finite, as the build will find them, and left to Superset where one is not."""
    import duckdb

    asked = (
        "SELECT DATE_TRUNC('MONTH', ts) AS ts, SUM(n) AS n FROM {} WHERE ts >= '2024-01-01 00:00:00'"
        " AND ts < '2025-12-30 00:00:00' GROUP BY DATE_TRUNC('MONTH', ts)"
    )
    with closing(duckdb.connect()) as connection:
        connection.execute(
            "CREATE TABLE finite AS SELECT TIMESTAMP '2024-01-01' + i * INTERVAL 1 MINUTE AS ts, i AS n"
            " FROM range(100000) AS r(i); CREATE TABLE infinite AS FROM finite;"
            "INSERT INTO infinite VALUES ('infinity', 1)"
        )
        facts = DuckDB(lambda sql, values: connection.execute(sql, list(values)).fetchall())
        considering = Considering(Allowed(zone="UTC"))
        statements = [Asked(name, asked.format(name), None, 1.0, 1.0) for name in ("finite", "infinite")]
        asks, refused = read(statements, lambda _: facts, "UTC")
        considering.take(asks, Sizes(connection.cursor()))
        proposed = considering.chosen(2.0, None, lambda _: None)
    assert not refused and proposed.served == 1
    assert [one.view.relation for one in proposed.proposals] == ['"finite"']
    assert [one.reason for one in proposed.refused] == ["it cuts 'ts', which may be infinite"]
