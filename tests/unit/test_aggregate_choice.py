"""Which aggregates are chosen within a budget."""

from __future__ import annotations

import random
from itertools import chain, combinations
from math import prod

from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.propose.asks import Ask, Asked, candidates
from superset_ext.aggregates.propose.choose import Candidate, choose, total
from superset_ext.aggregates.view import Key
from testing.aggregate_sales import read

ROWS = 1e6
LATTICES = 60


def lattice(some: random.Random) -> list[Candidate]:
    """Aggregates of a table of up to ten dimensions, for statements of some of them: each groups by what one or two of
    the statements need, and answers all that need no more."""
    values = [some.choice((2, 5, 12, 50, 365, 4000)) for _ in range(some.randint(2, 10))]
    asked = [frozenset(some.sample(range(len(values)), some.randint(1, min(4, len(values))))) for _ in range(5)]
    seconds = [some.expovariate(0.1) for _ in asked]
    grains = list(dict.fromkeys([*asked, *(one | other for one, other in combinations(asked, 2))]))[:11]
    made = []
    for grain in grains:
        rows = min(float(prod(values[place] for place in grain)), ROWS)
        gains = {place: seconds[place] * (1 - rows / ROWS) for place, own in enumerate(asked) if own <= grain}
        made.append(Candidate(rows * (30 + 8 * len(grain)), {place: gain for place, gain in gains.items() if gain > 0}))
    return made


def test_the_walk_comes_near_the_best() -> None:
    """Intent: what is chosen gains at least nine tenths of what the best of all sets gains, and fits the budget."""
    some = random.Random(14)
    for _ in range(LATTICES):
        made, budget = lattice(some), some.choice((1e4, 1e5, 1e6, 1e7))
        places = range(len(made))
        sets = chain.from_iterable(combinations(places, size) for size in range(len(made) + 1))
        fitting = (chosen for chosen in sets if sum(made[number].bytes for number in chosen) <= budget)
        best, chosen = max(total(made, chosen) for chosen in fitting), choose(made, budget)
        assert sum(made[number].bytes for number in chosen) <= budget
        assert total(made, chosen) >= 0.9 * best, (made, budget, chosen)


def test_fewer_tables_where_they_gain_as_much() -> None:
    """Intent: each aggregate has to be kept up, so that one which serves all is taken before one for each."""
    own = [Candidate(100, {place: 9.999}) for place in range(4)]
    both = Candidate(5000, dict.fromkeys(range(4), 9.99))
    assert choose([*own, both], 10_000) == (4,)
    assert len(choose([*own, both], 400)) == 4 and choose([*own, both], 50) == ()


def test_something_small_does_not_keep_something_better_out() -> None:
    """Intent: what is best by byte is not taken where nothing else fits beside it, and more could be gained."""
    assert choose([Candidate(10, {0: 1.0}), Candidate(100, {1: 9.0})], 100) == (1,)


def test_what_one_aggregate_can_serve() -> None:
    """Intent: grains, filters, averages and counts of several statements lead to one that has what all of them need."""
    month = "SELECT DATE_TRUNC('month', at) AS m, AVG(price) AS a FROM sales WHERE shop = 'a' GROUP BY 1"
    week = "SELECT DATE_TRUNC('week', at) AS w, COUNT(price) AS c FROM sales GROUP BY 1"
    pairs = ((1, month), (2, week))
    asks = [Ask(Asked(sql, sql, None, seconds, 1), read(sql), needs(read(sql))) for seconds, sql in pairs]
    grains = [one.view("x").keys for one in candidates(asks)]
    assert sorted(grains, key=len) == [
        (Key("at", "week"),), (Key("at", "month"), Key("shop")), (Key("at", "day"), Key("shop")),
    ]  # fmt: skip
    merged = next(one.view("x") for one in candidates(asks) if one.view("x").keys == grains[-1])
    assert {one.function for one in merged.measures} == {"sum", "count"} and len(merged.measures) == 2
