"""Charts that Superset has no query of, as the examples' are: what they ask is known once somebody has opened them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from testing.databases import Databases
from testing.in_process import ADMIN, PASSWORD, InProcess
from testing.plans_source import Source, source_in
from testing.probes import until
from testing.unsaved_chart import unsaved_chart

RARE = {"col": "status", "op": "==", "val": "rare"}
AMOUNT = {"col": "amount", "op": "==", "val": 7}
TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}
REGISTERED = """
SELECT count(*) FROM superset_ext.cache_request AS r
JOIN superset_ext.query_performance_log AS q ON q.chart_id = r.chart_id AND q.error IS NULL
WHERE r.chart_id = %s
"""


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, source_in(in_process, url) as made:
        yield made


@pytest.fixture
def chart(superset_app: InProcess, source: Source) -> Iterator[int]:
    """A chart on `orders` that was made without Explore."""
    with unsaved_chart(superset_app, source.orders, "unsaved", "big_number_total") as number:
        yield number


def opened(
    app: InProcess, source: Source, chart: int, user: str = ADMIN, password: str = PASSWORD, only: Any = RARE
) -> None:  # fmt: skip
    """Somebody opens the chart on a dashboard, and the registry and the log have it."""
    query = {"columns": [], "metrics": [TOTAL], "filters": [only], "row_limit": 100}
    body = {"datasource": {"id": source.orders, "type": "table"}, "force": True, "result_format": "json",
            "result_type": "full", "queries": [query], "form_data": {"slice_id": chart}}  # fmt: skip
    answer = app.client(user, password).post("/api/v1/chart/data", json=body)
    assert answer.status_code == 200, answer.json
    until(lambda: app.rows(REGISTERED, (chart,)) != [(0,)])


def drawing(app: InProcess, *words: str) -> str:
    result = app.perf("explain", *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    (review,) = json.loads(result.stdout)
    return str(review["drawing"])


def test_it_is_explained_once_somebody_has_opened_it(superset_app: InProcess, source: Source, chart: int) -> None:
    """Intent: before, one line says what to do; then the request that was made is asked again, with the rules for rows
    of whoever is named."""
    refused = superset_app.perf("explain", "--chart", str(chart))
    assert refused.exit_code == 1 and "nobody has opened it; open it on its dashboard" in refused.output
    opened(superset_app, source, chart)
    free = drawing(superset_app, "--chart", str(chart))
    assert "status" in free and "region" not in free and "rare" not in free
    rewritten = superset_app.perf("rewrite", "--chart", str(chart))
    assert rewritten.exit_code == 0 and "status = 'rare'" in rewritten.output


def test_it_is_asked_as_whoever_opened_it(superset_app: InProcess, source: Source, chart: int, all_may: None) -> None:
    """Intent: rules for rows are those of the person whose request it is."""
    opened(superset_app, source, chart, source.user, "a password of some length")
    assert "region" in drawing(superset_app, "--chart", str(chart))


@pytest.fixture
def all_may(superset_app: InProcess, source: Source) -> None:
    """The user under a rule for rows may ask for charts."""
    from superset.extensions import security_manager

    with superset_app.app.app_context():
        role = security_manager.find_user(source.user).roles[0]
        for name, view in (("all_datasource_access", "all_datasource_access"), ("can_read", "Chart")):
            security_manager.add_permission_role(role, security_manager.find_permission_view_menu(name, view))


def test_a_trial_runs_its_statement(superset_app: InProcess, source: Source, chart: int) -> None:
    """Intent: an index is proven by what people have asked; nothing is left out for want of a saved query, and nothing
    is built before somebody agrees."""
    superset_app.rows("DELETE FROM superset_ext.query_performance_log WHERE database_id = %s", (source.number,))
    opened(superset_app, source, chart, only=AMOUNT)
    slow = "UPDATE superset_ext.query_performance_log SET duration_ms = 900000 WHERE database_id = %s"
    superset_app.rows(slow, (source.number,))
    result: Any = superset_app.perf("indexes", "try", "--database", source.name)
    assert result.exit_code == 1 and "Aborted" in result.output, (result.output, result.exception)
    assert "Runs 1 statement, 4 times" in result.output and "left out: the log keeps no" not in result.output
