"""What is known of a statement and its other text: when charts are answered so, and when no more."""

from __future__ import annotations

import pytest

from superset_ext.plans.compared.pairs import HELD_OFF_SECONDS, LOOKED_BACK, TRIALS, Key, Pairs
from superset_ext.plans.rewrite import AUTOMATIC
from superset_ext.plans.rewrite.automatic.looks import candidates
from superset_ext.settings import REWRITE_RULES

KEY = Key(1, "a statement", ("extract_range",))


class Clock:
    """A clock that a test sets."""

    seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def compared(pairs: Pairs, stock_ms: float, rewritten_ms: float, times: int = TRIALS) -> str:
    for _ in range(times):
        pairs.compared(KEY, 1, stock_ms, rewritten_ms)
    return pairs.state(KEY)[0]


def test_each_text_goes_first_in_turn() -> None:
    """Intent: the second of two texts finds what the first has read, so none is always the second."""
    pairs = Pairs(1.2, 5.0)
    assert pairs.superset_goes_first(KEY) and not pairs.states(1, "a statement")
    assert compared(pairs, 100.0, 10.0, times=1) == "trying" and not pairs.superset_goes_first(KEY)


@pytest.mark.parametrize(
    ("stock_ms", "rewritten_ms", "state"), [(100.0, 10.0, "used"), (100.0, 90.0, "off"), (4.0, 0.1, "off")]
)
def test_only_what_is_quicker_is_used(stock_ms: float, rewritten_ms: float, state: str) -> None:
    """Intent: a text that saves nothing worth its round trip is not used."""
    pairs = Pairs(1.2, 5.0)
    assert compared(pairs, stock_ms, rewritten_ms) == state
    assert [known for known, _ in pairs.states(1, "a statement").values()] == [state]


def test_what_becomes_slow_is_taken_back() -> None:
    """Intent: the sample that is compared on also measures; what is not quicker any more is not used."""
    pairs = Pairs(1.2, 5.0)
    assert compared(pairs, 100.0, 10.0) == "used"
    assert compared(pairs, 10.0, 100.0, times=LOOKED_BACK) == "off"


def test_a_day_later_it_is_tried_anew() -> None:
    """Intent: a source that was restarted at the wrong moment does not end a rewrite for ever."""
    clock = Clock()
    pairs = Pairs(1.2, 5.0, clock)
    compared(pairs, 100.0, 10.0)
    pairs.ended(KEY, 1, "it failed", "failures")
    assert pairs.state(KEY) == ("off", "it failed")
    clock.seconds += HELD_OFF_SECONDS + 1
    assert pairs.state(KEY) == ("trying", "") and compared(pairs, 100.0, 10.0) == "used"


def test_counts_are_written_once() -> None:
    """Intent: what is owed is owed until it is written, and what is counted meanwhile is owed after that."""
    pairs = Pairs(1.2, 5.0)
    pairs.used(KEY, 1)
    owed = pairs.owed()
    pairs.used(KEY, 1)
    pairs.written(owed)
    ((_, more, moved),) = pairs.owed().values()
    assert owed[KEY][1]["uses"] == 1 and more["uses"] == 1 and not moved


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        ("SELECT a FROM t WHERE b = 1 ORDER BY a LIMIT 10", ()),
        ("SELECT a, COUNT(*) FROM (SELECT * FROM t ORDER BY a) AS v GROUP BY a", ("unneeded_order",)),
        ("SELECT COUNT(*) FROM t WHERE cast(id as text) = '1' AND id = 2.0", ("integer_as_text", "integer_as_decimal")),
        ("SELECT COUNT(*) FROM t WHERE d::date = '2024-01-01'", ("extract_range",)),
    ],
)
def test_a_text_without_a_rule_s_words_is_not_parsed(sql: str, rules: tuple[str, ...]) -> None:
    """Intent: most statements have nothing for any rule, and cost no parser."""
    assert candidates(sql, REWRITE_RULES) == rules


def test_the_settings_know_the_rules() -> None:
    """Intent: what may be named in the settings is what there is."""
    assert [rule.__name__ for rule in AUTOMATIC] == list(REWRITE_RULES)
