"""Whether two values are the same: types, dtypes, bits and order, not merely equal.

Written apart from the codec and with other means, so that both cannot err in the same way.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd


def assert_same(left: Any, right: Any, path: str = "value") -> None:
    """Raises AssertionError with the path of the first difference."""
    assert type(left) is type(right), f"{path}: {type(left)} is not {type(right)}"
    for kind, compare in _COMPARE:
        if isinstance(left, kind):
            compare(left, right, path)
            return
    assert left == right, f"{path}: {left!r} != {right!r}"


def _float(left: float, right: float, path: str) -> None:
    if math.isnan(left) and math.isnan(right):
        return
    assert struct.pack(">d", left) == struct.pack(">d", right), f"{path}: {left!r} != {right!r}"


def _scalar(left: np.generic, right: np.generic, path: str) -> None:
    assert left.dtype == right.dtype, f"{path}: {left.dtype} != {right.dtype}"
    assert left.tobytes() == right.tobytes(), f"{path}: {left!r} != {right!r}"


def _mapping(left: dict[Any, Any], right: dict[Any, Any], path: str) -> None:
    _sequence(list(left), list(right), f"{path}.keys()")
    for (key, mine), theirs in zip(left.items(), right.values(), strict=True):
        assert_same(mine, theirs, f"{path}[{key!r}]")


def _sequence(left: Any, right: Any, path: str) -> None:
    assert len(left) == len(right), f"{path}: {len(left)} values, not {len(right)}"
    for place, (mine, theirs) in enumerate(zip(left, right, strict=True)):
        assert_same(mine, theirs, f"{path}[{place}]")


def _set(left: Any, right: Any, path: str) -> None:
    def order(value: Any) -> tuple[str, str]:
        return type(value).__name__, repr(value)

    _sequence(sorted(left, key=order), sorted(right, key=order), path)


def _zone(left: dt.tzinfo | None, right: dt.tzinfo | None, path: str) -> None:
    assert type(left) is type(right), f"{path}: {type(left)} is not {type(right)}"
    assert repr(left) == repr(right), f"{path}: {left!r} != {right!r}"


def _moment(left: Any, right: Any, path: str) -> None:
    assert repr(left.replace(tzinfo=None)) == repr(right.replace(tzinfo=None)), f"{path}: {left!r} != {right!r}"
    assert left.fold == right.fold, f"{path}: another fold"
    if isinstance(left, pd.Timestamp):
        assert (left.unit, left.asm8) == (right.unit, right.asm8), f"{path}: {left!r} != {right!r}"
    _zone(left.tzinfo, right.tzinfo, f"{path}.tzinfo")


def _delta(left: pd.Timedelta, right: pd.Timedelta, path: str) -> None:
    assert (left.unit, left.asm8) == (right.unit, right.asm8), f"{path}: {left!r} != {right!r}"


def _array(left: Any, right: Any, path: str) -> None:
    assert left.dtype == right.dtype, f"{path}: {left.dtype} != {right.dtype}"
    assert str(left.dtype) == str(right.dtype), f"{path}: {left.dtype} != {right.dtype}"
    assert left.shape == right.shape, f"{path}: {left.shape} != {right.shape}"
    if isinstance(left, np.ndarray) and left.dtype.kind in "iubmM":
        assert left.tobytes() == right.tobytes(), f"{path}: other bytes"
    else:
        _sequence(list(left.ravel()), list(right.ravel()), path)


def _extension(left: Any, right: Any, path: str) -> None:
    assert str(left.dtype) == str(right.dtype) and left.dtype == right.dtype, f"{path}: {left.dtype} != {right.dtype}"
    if isinstance(left, pd.Categorical):
        _index(left.categories, right.categories, f"{path}.categories")
        _array(np.asarray(left.codes), np.asarray(right.codes), f"{path}.codes")
    _sequence(list(left), list(right), path)


def _index(left: pd.Index, right: pd.Index, path: str) -> None:
    assert type(left) is type(right), f"{path}: {type(left)} is not {type(right)}"
    _sequence(list(left.names), list(right.names), f"{path}.names")
    if isinstance(left, pd.RangeIndex):
        assert (left.start, left.stop, left.step) == (right.start, right.stop, right.step), f"{path}: another range"
    if isinstance(left, pd.MultiIndex):
        assert left.sortorder == right.sortorder, f"{path}: another sort order"
        for place, (mine, theirs) in enumerate(zip(left.levels, right.levels, strict=True)):
            _index(mine, theirs, f"{path}.levels[{place}]")
        _sequence([list(code) for code in left.codes], [list(code) for code in right.codes], f"{path}.codes")
        return
    assert getattr(left, "freq", None) == getattr(right, "freq", None), f"{path}: another frequency"
    _values(left, right, path)


def _values(left: Any, right: Any, path: str) -> None:
    assert str(left.dtype) == str(right.dtype), f"{path}: {left.dtype} != {right.dtype}"
    mine, theirs = (
        column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array for column in (left, right)
    )
    (_array if isinstance(mine, np.ndarray) else _extension)(mine, theirs, path)


def _series(left: Any, right: Any, path: str) -> None:
    _values(left, right, path)
    _index(left.index, right.index, path)


def _frame(left: pd.DataFrame, right: pd.DataFrame, path: str) -> None:
    _index(left.columns, right.columns, f"{path}.columns")
    _index(left.index, right.index, f"{path}.index")
    assert left.shape == right.shape, f"{path}: {left.shape} != {right.shape}"
    for place in range(left.shape[1]):
        _values(left.iloc[:, place], right.iloc[:, place], f"{path}.iloc[:, {place}]")
    assert_same(left.attrs, right.attrs, f"{path}.attrs")
    assert left.flags == right.flags, f"{path}: other flags"


_COMPARE: tuple[tuple[Any, Any], ...] = (
    (np.generic, _scalar),
    (float, _float),
    (dict, _mapping),
    ((list, tuple), _sequence),
    ((set, frozenset), _set),
    (Decimal, lambda left, right, path: _sequence(str(left), str(right), path)),
    (type(pd.NaT), lambda left, right, path: None),
    (type(pd.NA), lambda left, right, path: None),
    ((dt.datetime, dt.time), _moment),
    (pd.Timedelta, _delta),
    (dt.tzinfo, _zone),
    (pd.Interval, lambda left, right, path: _sequence(
        [left.left, left.right, left.closed], [right.left, right.right, right.closed], path)),
    (pd.Period, lambda left, right, path: _sequence(
        [left.ordinal, left.freqstr], [right.ordinal, right.freqstr], path)),
    (np.ndarray, _array),
    (pd.DataFrame, _frame),
    (pd.Index, _index),
    (pd.Series, _series),
)  # fmt: skip
