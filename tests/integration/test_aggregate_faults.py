"""What optimizers got wrong when they answered from small tables is refused here, or the same as from the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import pytest

from testing.aggregate_fault_forms import FORMS, TIMES
from testing.aggregate_fault_values import COUNTING, FILTERS, SUMS
from testing.aggregate_faults import Case, fill, tried
from testing.aggregates import Engine, duckdb, postgresql
from testing.databases import Databases

needs_duckdb = pytest.mark.skipif(find_spec("duckdb") is None, reason="duckdb is missing; run: make venv-dev")


@pytest.fixture(scope="module", params=["postgresql", pytest.param("duckdb", marks=needs_duckdb)])
def harbour(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Engine]:
    """The tables on each engine."""
    with ExitStack() as stack:
        if request.param == "duckdb":
            engine = stack.enter_context(duckdb())
        else:
            engine = stack.enter_context(postgresql(stack.enter_context(databases.empty())))
        fill(engine)
        yield engine


@pytest.mark.parametrize(
    "case", [*COUNTING, *SUMS, *FILTERS, *TIMES, *FORMS], ids=lambda case: case.kind.replace(" ", "_")
)
def test_what_others_answered_wrongly(harbour: Engine, case: Case) -> None:
    """Intent: each fault that was reported of other optimizers is refused with its reason, or answered as the table
    does; and the rows are such that one sees the fault."""
    assert not tried(case, harbour), f"{case.source}: {case.query}"
