"""How far another clock is off, as far as anybody can know."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from superset_ext.core.clock import skew

seconds = st.floats(-1e6, 1e6)
took = st.floats(0, 100)


@given(before=seconds, took=took, share=st.floats(0, 1))
def test_a_slow_answer_is_no_skew(before: float, took: float, share: float) -> None:
    """Intent: a clock that agrees, read at any moment between question and answer, is not off."""
    at = min(max(before + took * share, before), before + took)
    assert skew(at, before, before + took) == 0


@given(before=seconds, took=took, share=st.floats(0, 1), off=seconds)
def test_what_is_said_is_certain(before: float, took: float, share: float, off: float) -> None:
    """Intent: of a clock that is off, what is told has its sign, and is less by what the asking took at most."""
    bounds = skew(before + took * share + off, before, before + took)
    assert bounds * off >= 0
    assert abs(off) - took - 1e-3 <= abs(bounds) <= abs(off) + 1e-3
