"""`superset perf explain` in a real Superset, on a real source."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from testing.databases import Databases
from testing.in_process import InProcess
from testing.plans_source import Source, source_in


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, source_in(in_process, url) as made:
        yield made


def explained(app: InProcess, *words: str) -> Any:
    result = app.perf("explain", *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output)


def test_a_chart_is_explained(superset_app: InProcess, source: Source) -> None:
    """Intent: from the id of a chart to its plan, what is slow in it and the index that would help; no value in it."""
    (review,) = explained(superset_app, "--chart", str(source.chart))
    assert review["findings"][0]["kind"] == "filter_discards"
    assert review["findings"][0]["next_step"] == "CREATE INDEX CONCURRENTLY ON orders (status)"
    text = superset_app.perf("explain", "--chart", str(source.chart)).output
    assert "Seq Scan on orders" in text and "Brings: up to" in text
    assert "rare" not in text and "rare" not in json.dumps(review)


def test_it_is_the_sql_of_that_user(superset_app: InProcess, source: Source) -> None:
    """Intent: the row-level rule of whoever is named is part of what is explained, and of nobody else's."""
    (ruled,) = explained(superset_app, "--chart", str(source.chart), "--user", source.user)
    (free,) = explained(superset_app, "--chart", str(source.chart))
    assert "orders.region" in ruled["drawing"] and "orders.region" not in free["drawing"]
    assert "region 7" not in json.dumps(ruled)


def test_a_virtual_dataset_that_sorts_for_nothing(superset_app: InProcess, source: Source) -> None:
    """Intent: the costliest habit of virtual datasets is named for a chart on one."""
    (review,) = explained(superset_app, "--chart", str(source.virtual), "--analyze")
    assert "unneeded_order" in {finding["kind"] for finding in review["findings"]}
    assert review["plan"]["execution_ms"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["DELETE FROM orders"], "DELETE is not explained"), (["SELECT 1; SELECT 2"], "2 statements"),
        (["SELECT pg_sleep(600)", "--analyze"], "pg_sleep"), (["COPY orders TO PROGRAM 'true'"], "COPY is not"),
        (["SELECT * FROM nowhere"], 'relation "nowhere" does not exist'), (["SELECT 1", "--user", "nobody"], "no active user"),
        (["SELECT 1", "--chart", "1"], "give one SELECT, or"), (["--chart", "2147483"], "no chart"),
        (["SELECT count(*) FROM orders a, orders b, orders c WHERE a.id < b.id", "--analyze", "--timeout", "0.2"], "0.2 s"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(superset_app: InProcess, source: Source, words: list[str], line: str) -> None:
    """Intent: exit status 1 and one line that names the cause."""
    result = superset_app.perf("explain", *words, "--database", source.name)
    assert result.exit_code == 1 and line in result.output, result.output
    assert len(result.output.strip().splitlines()) == 1, result.output
