"""What an aggregate answers is what its table answers, on real engines: random triples of rows, aggregate and query."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from superset_ext.aggregates import grain
from superset_ext.aggregates import match as module
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.over import EXACT
from testing.aggregates import Engine, built, compare, differs, duckdb, postgresql, read

TRIPLES = int(os.environ.get("AGGREGATE_TRIPLES", "0"))  # of each engine; 10,000 take about two minutes
SEED = int(os.environ.get("AGGREGATE_SEED", "20261129"))
needs_duckdb = pytest.mark.skipif(
    find_spec("duckdb") is None and os.environ.get("CI") != "true", reason="duckdb is missing; run: make venv-dev"
)
ENGINES = ("postgresql", pytest.param("duckdb", marks=needs_duckdb))


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine that the test names."""
    if request.param == "duckdb":
        with duckdb() as made:
            yield made
    else:
        with postgresql(request.getfixturevalue("database_url")) as made:
            yield made


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_random_triples(engine: Engine) -> None:
    """Intent: no aggregate gives other rows, types or another order than its table; and aggregates do answer."""
    tally = compare(engine, TRIPLES or 100, SEED)
    assert not tally.differences, tally.differences[0]
    assert tally.matched > tally.triples / 5 and tally.with_rows > tally.triples / 10 and tally.ordered


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_many_random_triples(engine: Engine) -> None:
    """Intent: the same for a thousand of them."""
    tally = compare(engine, TRIPLES or 1000, SEED + 1)
    assert not tally.differences, tally.differences[0]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_wrong_rule_is_seen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the random triples see a rule that is nearly right: weeks made of months."""
    monkeypatch.setitem(grain._MADE_OF, "week", "month")
    seeds = (difference for seed in range(20) for difference in compare(engine, 100, seed).differences)
    assert "WEEK" in next(seeds)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_ties_that_are_not_looked_for_are_seen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the random triples see a LIMIT that cuts rows apart that tie, of a statement or of its series."""
    monkeypatch.setattr(module, "may_choose", lambda _shape, _view: False)
    seeds = (difference for seed in range(20) for difference in compare(engine, 100, seed).differences)
    assert "LIMIT" in next(seeds)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_letters_beyond_z_have_a_case(engine: Engine) -> None:
    """Intent: `É` and `é` are two columns on both engines, and neither answers for the other."""
    engine.run('CREATE TABLE letters ("É" int, "é" int, "Ab" int)')
    engine.run("INSERT INTO letters VALUES (1, 5, 2), (3, 6, 2)")
    for sql in (
        'SELECT "É" AS k, SUM("é") AS s FROM letters GROUP BY 1',
        "SELECT É AS k, COUNT(*) AS n FROM letters GROUP BY É",
    ):
        view = built(engine, needs(read(sql, engine.facts())).view("agg_letters"))
        result = match(read(sql, engine.facts()), view)
        assert isinstance(result, Match) and not differs(engine.run(sql)[1], engine.run(result.sql)[1], EXACT), result
        other = match(read('SELECT SUM("É") AS s FROM letters', engine.facts()), view)
        assert isinstance(other, Refusal)
