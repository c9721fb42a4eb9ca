"""A plan as a page: what is in it, and that nothing in a plan becomes part of the page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from superset_ext.compat import UTC
from superset_ext.plans.page import page
from superset_ext.plans.tree import Node, Plan

HOSTILE = "<script>alert(1)</script>\"'{0}{x}&lt;"


def row(**more: Any) -> dict[str, Any]:
    scan = Node(
        2, "Seq Scan", relation=HOSTILE, alias=HOSTILE, cost=90.0, rows=5.0, conditions={"Filter": f"a = {HOSTILE}"}
    )
    plan = Plan("postgresql", 180000, Node(1, "Aggregate", cost=100.0, rows=1.0, children=(scan,)))
    finding = {
        "kind": "filter_discards", "node": 2, "evidence": f"It reads {HOSTILE}.", "numbers": {}, "advice": HOSTILE,
        "gain": 0.9, "sure": "likely", "next_step": HOSTILE,
    }  # fmt: skip
    return {
        "sql": f"SELECT {HOSTILE}", "taken_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "duration_ms": 1234.0,
        "plan": plan.as_dict(), "findings": [finding], "considered": [], **more,
    }  # fmt: skip


def test_names_are_text_and_no_markup() -> None:
    """Intent: whatever a table, a statement or a finding is called, it is shown and never run."""
    html = page([row(), row()])
    assert "<script" not in html and html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10
    assert "{0}{x}&amp;lt;" in html


def test_a_person_finds_the_costly_step() -> None:
    """Intent: when it was taken, how long the query took, each step with its share, and what it shows beside it."""
    html = page([row()])
    assert "2026-01-02 03:04 UTC, 1,234 ms" in html
    assert 'class="step hot" style="--share: 90%"' in html and "at step 2: up to 90% of the query" in html
    assert html.index("Aggregate") < html.index("Seq Scan") and html.count("<li>") == html.count("</li>") == 2


def test_a_plan_with_nothing_to_change_says_so() -> None:
    """Intent: no finding is an answer too."""
    assert "Nothing in this plan asks for a change." in page([row(findings=[], sql=None)])
