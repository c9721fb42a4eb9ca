# ruff: noqa: E501  (SQL and intents that are easier to read in one line)
"""What is compared before an aggregate answers a chart and afterwards, and random steps of people, rights and changes."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest

from superset_ext.aggregates import grain
from superset_ext.aggregates.route import guard, postgresql, substitute
from superset_ext.aggregates.route.engines import ENGINES, Engine
from superset_ext.aggregates.route.guard import Held
from superset_ext.host import substitutes
from superset_ext.monitor.alerts.metrics import METRICS
from superset_ext.plans.compared.pairs import Pairs
from superset_ext.settings import AggregateRule
from testing.in_process import InProcess
from testing.routed import ask, proven, rested, stock
from testing.routed_shop import Shop
from testing.routed_steps import Ready, Steps
from tests.integration.aggregates.conftest import Make

STEPS = int(os.environ.get("ROUTE_STEPS", 120))
SEED = int(os.environ.get("ROUTE_SEED", 1))
COUNTS = os.environ.get("ROUTE_COUNTS", "")
BY_MONTH = "SELECT DATE_TRUNC('month', ts) AS m, SUM(amount) AS a, COUNT(*) AS n FROM sales GROUP BY 1"
WEEK = {"columns": [{
    "timeGrain": "P1W", "columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL",
}]}  # fmt: skip
OF_SHOP = {"filters": [{"col": "shop", "op": "==", "val": "shop4"}], "columns": []}


def test_weeks_made_of_months_never_answer(
    superset_app: InProcess, shop: Shop, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a planted wrong rule of the matcher is found by the first comparison, before any chart is answered by it."""
    shop.build(BY_MONTH, "by_month")
    monkeypatch.setitem(grain._MADE_OF, "week", "month")
    one = make()
    expected = stock(superset_app, shop.sales, **WEEK)
    assert not ask(superset_app, shop.sales, **WEEK).is_routed
    assert one.compared.acquire(timeout=30)
    for _ in range(3):
        answer = ask(superset_app, shop.sales, **WEEK)
        assert not answer.is_routed and answer.shown == expected.shown
    one.flush()
    ((aggregate, original, other),) = superset_app.rows(
        "SELECT split_part(aggregate, '.', 1), original, rewritten FROM superset_ext.aggregate_switched_off"
    )
    assert aggregate == "by_month" and "sales" in original and "superset_ext_aggregates" in other


def test_an_aggregate_that_turns_wrong_ends_everywhere(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: a compared sample that differs switches the aggregate off in other processes too, before they have read a
    row of it; the answers that it gave are dropped and an alert is due; no value is in any table of ours; built anew it
    answers again."""
    shop.build()
    other = make()
    proven(superset_app, other, shop.sales, **OF_SHOP)
    other.flush()
    one = make(aggregates_shadow=10**9)
    assert ask(superset_app, shop.sales, **OF_SHOP).is_routed
    ask(superset_app, shop.sales, force=False, **OF_SHOP)
    assert ask(superset_app, shop.sales, force=False, **OF_SHOP).is_cached
    shop.run("UPDATE superset_ext_aggregates.by_day SET sum_amount = sum_amount + 1")
    assert ask(superset_app, shop.sales, **OF_SHOP).is_routed  # one in so many is found by its sample
    substitutes.substitutes = (other,)
    rested(other)
    while other.compared.acquire(blocking=False):
        pass
    assert ask(superset_app, shop.sales, **OF_SHOP).is_routed
    assert other.compared.acquire(timeout=30)
    assert not ask(superset_app, shop.sales, force=False, **OF_SHOP).is_cached
    expected = stock(superset_app, shop.sales, **OF_SHOP)
    for process in (one, other):
        substitutes.substitutes = (process,)
        answer = ask(superset_app, shop.sales, **OF_SHOP)
        assert not answer.is_routed and answer.shown == expected.shown
    other.flush()
    tables = "".join(
        str(superset_app.rows(f"SELECT * FROM superset_ext.{table}"))
        for table in ("aggregate_use", "aggregate_switched_off", "aggregate_refusal", "aggregate_state")
    )
    assert "shop4" not in tables and "by_day" in tables
    assert "aggregate_difference" in METRICS
    shop.run("DROP SCHEMA superset_ext_aggregates CASCADE")
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales, **OF_SHOP)
    assert ask(superset_app, shop.sales, **OF_SHOP).is_routed


def test_what_may_be_stale_is_compared_as_it_should_be(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: an aggregate that lags behind its base by a rule is no difference; a wrong text over it is."""
    shop.build(upkeep="schedule")
    shop.run("UPDATE sales SET amount = amount + 1")
    one = make(aggregates=(AggregateRule(database=shop.name, stale_seconds=3600),))
    proven(superset_app, one, shop.sales)
    assert ask(superset_app, shop.sales).is_routed
    rested(one)
    assert not superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off")


@pytest.mark.parametrize(("seconds", "is_routed"), [(0.0, True), (100.0, False)])
def test_the_guard_counts_in_what_a_text_takes(
    superset_app: InProcess, shop: Shop, make: Make, monkeypatch: pytest.MonkeyPatch, seconds: float, is_routed: bool
) -> None:
    """Intent: what is looked at before a text is part of what the text takes: where both together are no quicker than
    Superset's own statement, charts are left to that, and the reason is noted."""
    ahead = 0.0

    def slow(*values: Any) -> Held:
        nonlocal ahead
        ahead += seconds
        return guard.hold(*values)

    monkeypatch.setitem(cast("dict[str, Engine]", ENGINES), "postgresql", Engine(postgresql.look, slow))
    monkeypatch.setattr(substitute, "monotonic", lambda: monotonic() + ahead)
    shop.build()
    one = make(pairs=lambda: Pairs(0.0, -60_000.0))  # the text alone may be slower by as much as no machine stalls
    proven(superset_app, one, shop.sales, **OF_SHOP)
    answer = ask(superset_app, shop.sales, **OF_SHOP)
    assert answer.is_routed == is_routed and answer.shown == stock(superset_app, shop.sales, **OF_SHOP).shown
    rested(one)
    one.flush()
    reasons = superset_app.rows("SELECT reason FROM superset_ext.aggregate_refusal")
    assert (("the other text is not quicker",) in reasons) == (not is_routed)


@pytest.mark.parametrize("steps", [40, pytest.param(STEPS, marks=pytest.mark.thorough)])
def test_interleaved(
    superset_app: InProcess, shop: Shop, make: Make, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Intent: whoever asks whatever, with rules for rows, as a guest, through templates, impersonated, while the base
    changes and aggregates are refreshed, dropped and built anew: the answer is stock's at that moment, in its order as
    far as the statement decides that."""
    one = make(aggregates_shadow=20, pairs=lambda: Ready(0.0, float("-inf")))
    source = Steps(superset_app, shop, one, random.Random(SEED), monkeypatch)
    counts: Counter[str] = Counter()
    try:
        while _steps(counts) < steps:
            counts += source.step(_steps(counts))
            _note(counts)
        rested(one)
        one.flush()
    finally:
        source.close()
    assert not superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off")
    assert counts["routed"] > steps / 20 and counts["ordered: wholly"] > steps / 20, counts


def _steps(counts: Counter[str]) -> int:
    return sum(number for name, number in counts.items() if not name.startswith("ordered"))


def _note(counts: Counter[str]) -> None:
    """Say how far a long run has come, in the file that ROUTE_COUNTS names."""
    if COUNTS:
        Path(COUNTS).write_text(f"{_steps(counts)} steps, seed {SEED}: {dict(counts)}\n")
