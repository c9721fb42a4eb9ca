"""What is proposed for the nine example dashboards once they were opened, none of whose charts has a saved query."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from testing.asked import answered, fingerprint
from testing.browser import Answer
from testing.routed_boards import compared, requests_of, summed
from testing.same_json import DIFFERENT
from testing.serving import Client
from testing.stack import RunningStack
from testing.warming import perf, rows, until
from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.marathon, pytest.mark.timeout(1800)]
WRITTEN = "SELECT count(*) AS n FROM superset_ext.query_performance_log WHERE created_at >= %s AND source = 'chart'"


# What other tests have asked, and have partly taken away since.
ELSE = """
DELETE FROM superset_ext.query_performance_log
WHERE fingerprint NOT IN (
    SELECT fingerprint FROM superset_ext.query_performance_log WHERE created_at BETWEEN %s AND %s AND source = 'chart'
) RETURNING 1
"""
GONE = "DELETE FROM superset_ext.cache_request WHERE dataset_id NOT IN (SELECT id FROM public.tables) RETURNING 1"


def test_dashboards_that_were_opened_are_proposed_for_and_routed(superset_stack: RunningStack, passes: Passes) -> None:
    """Intent: each statement that the nine dashboards have sent is made again from the requests, so that none is left
    out for want of its values; all that an aggregate could answer says why it is not proposed; and once what is
    proposed is built, the statements that it names are answered from it, with stock's JSON."""
    sent = sum(not result.get("is_cached") for answer in passes.first for result in answer.ran_sql)
    until(lambda: rows(superset_stack, WRITTEN, (passes.since,))[0][0] >= sent)
    rows(superset_stack, ELSE, (passes.since, passes.until))
    rows(superset_stack, GONE)
    _register(superset_stack, passes.first)
    done = perf(superset_stack, "aggregates", "propose", "--database", "examples", "--floats", "--loose", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    left_out = [note for note in answer["notes"] if "left out" in note]
    assert left_out == [] and answer["served"] >= LEAST and answer["proposals"], answer["notes"]
    assert all(one["charts"] or one["datasets"] for one in answer["proposals"])
    proposals = {one["name"]: one["build"][-1] for one in answer["proposals"]}
    answers = compared(superset_stack, requests_of(passes.first, {}), proposals)
    assert [one for one in answers if one.same == DIFFERENT] == []
    totals = summed(answers)
    assert totals["routed"] >= answer["served"] - TIED, totals


def _register(stack: RunningStack, asked: Sequence[Answer]) -> None:
    """Have the requests in the registry, whichever of them other tests have forgotten."""
    client = Client(stack.url, stack.user, stack.password)
    prints = {fingerprint(answered(client, one)) for one in asked if one.ran_sql}
    until(lambda: prints <= {row[0] for row in rows(stack, REGISTERED)})


REGISTERED = "SELECT fingerprint FROM superset_ext.cache_request"
LEAST = 65  # of 98 statements; others have no groups, or save too little for a table of their own
TIED = 5  # of those that are served, how many may have rows in these data that tie where a LIMIT cuts
