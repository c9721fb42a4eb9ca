"""SQL that can be planned, made of text whose values were left out."""

from __future__ import annotations

import pytest

from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.plans.indexes.generic import plannable


@pytest.mark.parametrize(
    ("sql", "planned", "parameters"),
    [
        ("SELECT a FROM t WHERE b = 'x' AND c IN (1, 2)", "SELECT a FROM t WHERE b = $1 AND c IN ($2)", 2),
        ("SELECT a FROM t", "SELECT a FROM t", 0),
        (
            "SELECT DATE_TRUNC('day', d) AS x, SUM(n) FROM t GROUP BY DATE_TRUNC('day', d) ORDER BY SUM(n) LIMIT 9",
            "SELECT DATE_TRUNC($1, d) AS x, SUM(n) FROM t GROUP BY DATE_TRUNC($1, d) ORDER BY SUM(n) LIMIT $2", 2,
        ),
        (
            "SELECT DATE_TRUNC('day', d) AS x, COUNT(*) AS y FROM t GROUP BY 1",
            "SELECT DATE_TRUNC($1, d) AS x, COUNT(*) AS y FROM t GROUP BY DATE_TRUNC($1, d)", 1,
        ),
        (
            "SELECT a FROM t WHERE d > DATE '2025-01-01' - INTERVAL '3 days'",
            "SELECT a FROM t WHERE d > CAST($1 AS DATE) - CAST($2 AS INTERVAL)", 2,
        ),
    ],
    ids=["comparisons", "no values", "what is grouped by", "grouped by place", "typed literals"],
)  # fmt: skip
def test_values_become_parameters(sql: str, planned: str, parameters: int) -> None:
    """Intent: what the query log keeps of a chart's SQL is SQL again that a server plans."""
    statement = plannable(normalised(sql, "postgresql"))
    assert statement is not None
    assert (statement.sql, statement.parameters) == (planned, parameters)


@pytest.mark.parametrize(
    "sql", ["SELECT a FROM t WHERE j ? 'k'", "SELECT 1; SELECT 2", "SELECT a FROM t WHERE (", "DROP TABLE t"]
)
def test_what_is_not_understood_is_left_out(sql: str) -> None:
    """Intent: a text that may mean something else is not sent to a source."""
    assert plannable(normalised(sql, "postgresql")) is None
