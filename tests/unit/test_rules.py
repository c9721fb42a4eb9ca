"""Rules: which one applies, and what it says of a lifetime."""

from __future__ import annotations

import json
from typing import Any

import pytest

from superset_ext.cache.rules import Subject, lifetime, matching, trial_ms, usage_tag
from superset_ext.errors import SettingsError
from superset_ext.settings import Rule, Settings, load
from superset_ext.sqltables.table import Table

URLS = {"SUPERSET_EXT_REDIS_URL": "redis://cache", "SUPERSET_EXT_DATABASE_URL": "postgresql://db/superset"}
SUBJECT = Subject(7, "Sales", "warehouse", [Table("mart", "Orders"), Table("", "ticks")], "SELECT a FROM mart.orders")


def settings(*rules: dict[str, Any], **more: str) -> Settings:
    named = [{"name": f"r{number}"} | rule for number, rule in enumerate(rules)]
    return load(URLS | {"SUPERSET_EXT_RULES": json.dumps(named)} | more)


def rule(**fields: Any) -> Rule:
    return settings({"table": "*"} | fields).rules[0]


@pytest.mark.parametrize(
    ("fields", "applies"),
    [
        ({"dataset": 7}, True),
        ({"dataset": "Sales"}, True),
        ({"dataset": 8}, False),
        ({"database": "warehouse"}, True),
        ({"database": "other"}, False),
        ({"table": "mart.orders"}, True),
        ({"table": "MART.*"}, True),
        ({"table": "orders"}, True),
        ({"table": "tick?"}, True),
        ({"table": "public.ticks"}, False),
        ({"sql": "from +mart"}, True),
        ({"sql": "staging"}, False),
        ({"database": "warehouse", "table": "no"}, False),
    ],
)
def test_what_a_rule_matches(fields: dict[str, Any], applies: bool) -> None:
    """Intent: all that a rule names must be so."""
    assert (matching(settings(fields).rules, SUBJECT) is not None) is applies


def test_the_first_rule_wins() -> None:
    """Intent: order decides, not precision."""
    first = matching(settings({"database": "warehouse", "timeout": 1}, {"dataset": 7, "timeout": 2}).rules, SUBJECT)
    assert first is not None
    assert first.timeout == 1


def test_tables_that_are_not_known_match_no_table() -> None:
    """Intent: a rule about a table says nothing of SQL that cannot be read."""
    assert matching(settings({"table": "*"}).rules, Subject(7, "Sales", "warehouse", None, "?")) is None


@pytest.mark.parametrize(
    ("fields", "passed_ms", "lives"),
    [
        (None, 900_000, (900_000, 300_000)),
        (None, 60_000, (60_000, 60_000)),
        (None, 0, (0, 0)),
        ({}, 900_000, (3_600_000, 300_000)),
        ({"timeout": 10}, 900_000, (10_000, 10_000)),
        ({"timeout": 1000, "grace": 5}, 900_000, (1_000_000, 5_000)),
        ({"grace": 0}, 900_000, (3_600_000, 0)),
        ({"strategy": "event", "invalidate_on": ["data_update"]}, 900_000, (86_400_000, 300_000)),
        ({"strategy": "usage"}, 900_000, (900_000, 300_000)),
    ],
)
def test_lifetimes(fields: dict[str, Any] | None, passed_ms: int, lives: tuple[int, int]) -> None:
    """Intent: the grace is never longer than the time that was asked for."""
    assert lifetime(settings(), None if fields is None else rule(**fields), passed_ms) == lives


def test_usage() -> None:
    """Intent: two hours and five reads, unless a rule says otherwise."""
    assert (usage_tag(rule(strategy="usage")), trial_ms(rule(strategy="usage"))) == ("usage:5", 7_200_000)
    own = rule(strategy="usage", max_age=60, min_hits=2)
    assert (usage_tag(own), trial_ms(own)) == ("usage:2", 60_000)
    assert (usage_tag(rule()), trial_ms(None)) == (None, 0)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "matches everything"),
        ({"sql": "("}, "not a regular expression"),
        ({"table": "t", "max_age": 5}, "usage"),
        ({"table": "t", "strategy": "event"}, "invalidate_on"),
        ({"table": "t", "invalidate_on": ["guess"]}, "invalidate_on"),
        ({"table": "t", "name": "r1"}, "twice"),
        ({"table": "t", "timeout": -1}, "timeout"),
        ({"table": "t", "ttl": 1}, "ttl"),
    ],
)
def test_rules_that_are_wrong_are_told_at_start(fields: dict[str, Any], word: str) -> None:
    """Intent: one line that names the rule and what is wrong with it."""
    with pytest.raises(SettingsError, match=word) as caught:
        settings(fields, {"table": "t", "name": "r1"})
    assert "\n" not in str(caught.value)
    assert "SUPERSET_EXT_RULES" in str(caught.value)
