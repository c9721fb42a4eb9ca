"""What the commands print and how they end, on an app of this process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from superset_ext.package import EXTENSION
from testing.in_process import InProcess

RULE = {"name": "of a command", "metric_type": "hit_ratio", "comparison_operator": "<", "threshold_value": 0.1}


def printed(result: Any) -> Any:
    """The JSON that a command printed."""
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("status", "chart_data"),
        ("refresh", "perf_cache_hour"),
        ("recommend", ""),
        ("alerts list", "Low hit ratio of charts: hit_ratio < 0.7 over 15 min"),
        ("warm", "nightly: next at "),
        ("watch list", "Nothing is watched; begin with: superset perf watch add"),
        ("invalidate --all", "Nothing older is served of: everything."),
        ("invalidate --key no:such:*", "0 entries deleted."),
        ("upgrade", "Log database: up to date."),
        ("dashboards install", "Dashboards and what they stand on: "),
    ],
)
def test_text_and_json(superset_app: InProcess, words: str, text: str) -> None:
    """Intent: each command that tells something tells it in words, and the same as JSON and nothing else."""
    result = superset_app.perf(*words.split())
    assert (result.exit_code, result.stderr) == (0, ""), (result.output, result.exception)
    assert text in result.stdout and result.stdout.endswith("\n")
    assert "alerts" not in words or "No alert within 30 days." in result.stdout
    if words != "alerts list":
        assert printed(superset_app.perf(*words.split(), "--json")) is not None


def test_rules_of_alerts(superset_app: InProcess) -> None:
    """Intent: a rule is added, changed, listed and removed; what is wrong with one is a line."""
    added = superset_app.perf("alerts", "add", json.dumps(RULE))
    number = added.stdout.split()[1]
    assert added.stdout == f"Rule {number} added.\n"
    assert superset_app.perf("alerts", "change", number, '{"enabled": false}').stdout == f"Rule {number} changed.\n"
    rules = printed(superset_app.perf("alerts", "list", "--json"))["rules"]
    (rule,) = [rule for rule in rules if str(rule["id"]) == number]
    assert rule["enabled"] is False and rule["name"] == RULE["name"]
    assert superset_app.perf("alerts", "remove", number).stdout == f"Rule {number} removed.\n"
    again = superset_app.perf("alerts", "remove", number)
    assert (again.exit_code, again.stderr) == (
        1,
        f"Error: there is no rule {number}; superset perf alerts lists them\n",
    )
    for bad in ("{", "[1]"):
        refused = superset_app.perf("alerts", "add", bad)
        assert refused.exit_code == 2 and "is not a JSON object" in refused.stderr
    refused = superset_app.perf("alerts", "add", '{"name": "x"}')
    assert refused.exit_code == 1 and refused.stderr.startswith("Error: ") and len(refused.stderr.splitlines()) == 1


def test_nobody_is_named_for_alerts(superset_app: InProcess) -> None:
    """Intent: a trial without an address is one line with the setting that names one."""
    result = superset_app.perf("alerts", "try")
    assert (result.exit_code, result.stderr) == (1, "Error: nobody is named; set SUPERSET_EXT_ALERT_URLS\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("invalidate", 2, "nothing is named; name tables, databases, datasets, charts, dashboards, keys, or --all"),
        ("invalidate --dashboards all", 2, "name dashboards by id, or give --all"),
        ("invalidate --table orders", 2, "'orders' is not a table; write DATABASE.SCHEMA.TABLE"),
        ("invalidate --datasets 1,x", 2, "'1 x' is not a list of ids"),
        ("invalidate --database nowhere", 1, "nowhere"),
        ("warm --charts x", 2, "'x' is not a list of ids"),
        ("watch add nowhere public.orders", 1, "Superset has no database 'nowhere'"),
        ("watch remove nowhere", 2, "name tables, or give --all"),
    ],
)
def test_what_is_refused(superset_app: InProcess, words: str, status: int, message: str) -> None:
    """Intent: a mistake is named, and the status tells a script."""
    result = superset_app.perf(*words.split())
    assert result.exit_code == status and message in result.stderr, (result.output, result.exception)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", ["upgrade", "refresh", "recommend", "alerts list", "warm", "watch list"])
def test_without_a_log_database(superset_app: InProcess, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Intent: one line with the fix, whichever command needs the log."""
    without = replace(superset_app.package, database=None)
    monkeypatch.setitem(superset_app.app.extensions, EXTENSION, without)
    result = superset_app.perf(*words.split())
    assert result.exit_code == 1
    assert result.stderr == "Error: no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL\n"
