"""Aggregates under random steps of many at once; `AGGREGATE_STEPS` and `AGGREGATE_SEED` make more and other ones."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from superset_ext.aggregates.tables import notes
from testing.aggregate_machine import Machine

STEPS = int(os.environ.get("AGGREGATE_STEPS", "60"))
SEED = int(os.environ.get("AGGREGATE_SEED", "1"))


def test_what_calls_itself_exact_is_exact_in_every_snapshot(database_url: str) -> None:
    """Intent: overlapping transactions, DDL, killed refreshes and old snapshots never leave an aggregate that says that
    it is exact and is not; and once nobody writes any more, all are."""
    with closing(Machine(database_url, SEED)) as machine:
        machine.go(STEPS)


@pytest.mark.thorough
def test_a_trigger_that_forgets_what_was_there_is_found(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the steps find a planted fault: rows as they were before are not noted."""
    faulty = notes._FUNCTION.replace("FROM old_rows AS t", "FROM old_rows AS t WHERE false")
    assert faulty != notes._FUNCTION
    monkeypatch.setattr(notes, "_FUNCTION", faulty)
    with closing(Machine(database_url, SEED)) as machine, pytest.raises(AssertionError, match=f"seed {SEED}"):
        machine.go(max(STEPS, 1000))
