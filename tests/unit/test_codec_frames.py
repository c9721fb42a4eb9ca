"""DataFrames come back cell by cell, dtype by dtype, label by label."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from superset_ext.cache.codec import values as codec
from testing.same import assert_same

MANY = 9000  # rows above which columns take their compact forms
FEW = {"a frame": 100}  # rows of what has no compact form and takes long
DAY = pd.date_range("2026-01-01", periods=3)
MOMENTS = ("2026-01-01", "1970-01-01T01:02:03")
WORKDAY = pd.offsets.CustomBusinessDay(holidays=["2026-01-02"])
BERLIN = ZoneInfo("Europe/Berlin")


def again(value: Any) -> Any:
    name, data = codec.encode(value)
    return codec.decode(name, data)


def objects(*values: Any) -> np.ndarray[Any, Any]:
    return np.fromiter(values, dtype=object, count=len(values))


COLUMNS: dict[str, Any] = {
    "int64": np.array([1, -(2**63), 2**63 - 1]),
    "int8": np.array([1, -128, 127], "i1"),
    "int32 far from zero": np.array([2**30, 2**30 + 1, 2**30 + 500], "i4"),
    "uint64": np.array([0, 2**64 - 1, 5], "u8"),
    "uint8": np.array([0, 255, 5], "u1"),
    "float64": np.array([0.1, -0.0, np.inf]),
    "float64 with NaN": np.array([0.25, np.nan, 1e300]),
    "float64 of cents": np.array([19.99, -0.01, 100.0]),
    "float64 of cents with NaN": np.array([19.99, np.nan, 100.0]),
    "float64 whole": np.array([1.0, 2.0, -3.0]),
    "float64 huge": np.array([2.0**53, 2.0**60, 1.0]),
    "float64 minus zero": np.array([0.0, -0.0, 1.0]),
    "float32": np.array([0.1, np.nan, 1], "f4"),
    "float16": np.array([0.1, np.nan, 1], "f2"),
    "only NaN": np.array([np.nan] * 3),
    "complex": np.array([1j, 0, np.nan]),
    "bool": np.array([True, False, True]),
    "big-endian": np.array([1, 2, 3], ">i8"),
    **{f"datetime64[{unit}]": np.array([*MOMENTS, "NaT"], f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    "days": np.array(["2026-01-01", "2026-01-05", "1970-01-01"], "M8[ns]"),
    "hours": np.array(["2026-01-01T05", "2026-01-05T04", "1970-01-01"], "M8[us]"),
    "nanoseconds": np.array([1, 2, -(2**63) + 1], "M8[ns]"),
    "only NaT": np.array(["NaT"] * 3, "M8[ns]"),
    "timedelta64": np.array([1, "NaT", 3], "m8[ns]"),
    "str": objects("a", "b", "ä\U0001f600"),
    "str, few": objects("low", "high", "low"),
    "str and None": objects("a", None, "b"),
    "str and NaN": objects("a", float("nan"), "b"),
    "lone surrogate": objects("\ud800", "b", "b"),
    "empty and nul": objects("", "\0", "a\0b"),
    "all None": objects(None, None, None),
    "None, NaN, NaT, NA": objects(None, float("nan"), pd.NaT, pd.NA),
    "mixed": objects(1, "1", 1.0, True, None, b"1", Decimal("1"), (1,), [1], {"1": 1}, {1}),
    "Decimal": objects(Decimal("1.10"), Decimal("-0.00"), Decimal("NaN"), Decimal("1E+5")),
    "Decimal and None": objects(Decimal("1.10"), None, Decimal("3")),
    "int objects": objects(1, 2, 3),
    "big int objects": objects(1, 2**70, -(2**70)),
    "int objects and None": objects(1, None, 3),
    "bool objects": objects(True, False),
    "bool objects and None": objects(True, None, False),
    "float objects": objects(0.1, float("nan"), -0.0),
    "date": objects(dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "date and None": objects(dt.date(2026, 1, 1), None),
    "datetime": objects(dt.datetime(1, 1, 1), dt.datetime.max),
    "datetime, folded": objects(dt.datetime(2026, 1, 1), dt.datetime(2026, 10, 25, 2, 30, fold=1)),
    "datetime, zoned": objects(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, tzinfo=BERLIN)),
    "time": objects(dt.time(1), dt.time(23, 59, 59, 999999)),
    "timedelta": objects(dt.timedelta(days=1), dt.timedelta(microseconds=-1)),
    "timedelta, extreme": objects(dt.timedelta.max, dt.timedelta.min),
    "Timestamp": objects(pd.Timestamp(0), pd.Timestamp(0, tz="UTC")),
    "UUID": objects(UUID(int=1), UUID(int=2**128 - 1)),
    "lists": objects([1, 2], [], [None, [3]]),
    "equal lists": objects([1, 2], [3, 4]),
    "dicts": objects({"a": 1}, {}, None),
    "arrays": objects(np.array([1, 2]), np.array(5), np.array([])),
    "numpy scalars": objects(np.int64(1), np.float32(2)),
    "bytes": objects(b"a", b""),
    "bytearrays": objects(bytearray(b"a"), b"a"),
    "a frame": objects(pd.DataFrame({"a": [1]})),
    "categories": pd.Categorical(["a", None, "b"], categories=["b", "a", "unused"], ordered=True),
    "categories of int": pd.Categorical([1, 2, 1]),
    "categories of time": pd.Categorical(DAY),
    "Int64": pd.array([1, None, 2**62 + 1], dtype="Int64"),
    "UInt8": pd.array([1, None, 255], dtype="UInt8"),
    "Float32": pd.array([1.5, None, 2], dtype="Float32"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "string": pd.array(["a", None, "b"], dtype=pd.StringDtype("python")),
    "string, Arrow": pd.array(["a", None, "b"], dtype=pd.StringDtype("pyarrow")),
    "Arrow int": pd.array([1, None], dtype=pd.ArrowDtype(pa.int32())),
    "Arrow decimal": pd.array([Decimal("1.10"), None], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    "Arrow list": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "zoned": pd.DatetimeIndex(["2026-07-01", "NaT", "2026-01-01"], tz="Europe/Berlin").array,
    "zoned UTC in ms": pd.DatetimeIndex(["2026-07-01", "NaT"]).as_unit("ms").tz_localize(dt.UTC).array,
    "zoned by zoneinfo": pd.DatetimeIndex(["2026-07-01"]).tz_localize(BERLIN).array,
    "period": pd.period_range("2026Q1", periods=3, freq="Q").array,
    "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2.5], closed="left"),
    "interval of time": pd.arrays.IntervalArray.from_breaks(DAY),
    "sparse": pd.arrays.SparseArray([0, 0, 1]),
}  # fmt: skip


def long(name: str) -> pd.Series:
    """A column's values again and again."""
    column = COLUMNS[name]
    places = np.arange(FEW.get(name, MANY)) % len(column)
    return pd.Series(column[places] if isinstance(column, np.ndarray) else column.take(places))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name: str) -> None:
    """Intent: short, in its compact form, two of them in one block, and with no row at all."""
    short, many = pd.DataFrame({"c": COLUMNS[name]}, copy=False), long(name)
    compact = (pd.DataFrame({"c": many}), pd.DataFrame({"c": many, "d": many}))
    for frame in (short, *compact, short.iloc[:0], short.iloc[:1], short.iloc[::-1]):
        assert_same(again(frame), frame)


def test_only_sparse_needs_a_pickle() -> None:
    """Intent: a chart's entry is pickled in no case that Superset's engines produce."""
    pickled = {
        name for name, column in COLUMNS.items() if codec.encode(pd.DataFrame({"c": column}))[0] == codec.PICKLED
    }
    assert pickled == {"sparse"}


def labelled(index: Any = None, columns: Any = None) -> pd.DataFrame:
    return pd.DataFrame(np.arange(9).reshape(3, 3), index=index, columns=columns)


MULTI = pd.MultiIndex.from_arrays([["a", "a", None], [1, 2, 3]], names=["letter", None])
FRAMES: dict[str, pd.DataFrame] = {
    "nothing": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": [], "b": np.array([], "M8[us]")}),
    "no columns": pd.DataFrame(index=[1, 2, 3]),
    "no columns, named": pd.DataFrame(index=pd.RangeIndex(3), columns=pd.Index([], name="n")),
    "duplicate columns": labelled(columns=["a", "a", "a"]),
    "empty names": labelled(columns=["", "", None]),
    "other names": labelled(columns=[1, 2.5, (1, "x")]),
    "time names": labelled(columns=[pd.Timestamp(0), dt.date(2026, 1, 1), float("nan")]),
    "numbered": labelled(),
    "named axes": labelled(pd.Index([3, 1, 2], name="rows"), pd.Index(["x", "y", "z"], name=("col", 1))),
    "range with step": labelled(pd.RangeIndex(10, 4, -2, name="r")),
    "dates": labelled(DAY),
    "dates as names": labelled(columns=pd.date_range("2026-01-01", periods=3, freq="MS", name="month")),
    "zoned dates": labelled(DAY.tz_localize("Europe/Berlin")),
    "a frequency": labelled(pd.date_range("2026-01-01", periods=3, freq="W-TUE")),
    "a frequency of its own": labelled(pd.date_range("2026-01-01", periods=3, freq=WORKDAY)),
    "timedeltas": labelled(pd.timedelta_range("1h", periods=3)),
    "periods": labelled(pd.period_range("2026-01", periods=3, freq="M")),
    "intervals": labelled(pd.interval_range(0, 3, closed="both")),
    "categories": labelled(pd.CategoricalIndex(["b", "a", "b"], name="c")),
    "multi rows": labelled(MULTI),
    "multi columns": labelled(columns=MULTI),
    "multi of dates": labelled(pd.MultiIndex.from_product([DAY, ["x"]])),
    "multi, sorted": labelled(MULTI).sort_index(),
    "multi, unused levels": labelled(MULTI).iloc[:1],
    "float labels": labelled([0.5, float("nan"), -0.0]),
    "nullable labels": labelled(pd.Index([1, None, 2], dtype="Int64")),
    "bool labels": labelled(pd.Index([True, False, True])),
    "a slice": labelled().iloc[1:, ::2],
    "wide": pd.DataFrame(np.arange(400).reshape(2, 200)),
    "string and mixed": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, None]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str) -> None:
    """Intent: labels, names, frequencies and shapes, also in the middle of other values."""
    frame = FRAMES[name]
    assert_same(again(frame), frame)
    assert_same(again({"df": frame, "other": [frame, (frame,)]}), {"df": frame, "other": [frame, (frame,)]})


def test_attributes_and_flags() -> None:
    """Intent: what is attached to a frame stays there."""
    frame = labelled()
    frame.attrs = {"source": {"a": (1, Decimal("2"))}, 3: [None]}
    assert_same(again(frame), frame)
    assert_same(
        again(labelled().set_flags(allows_duplicate_labels=False)), labelled().set_flags(allows_duplicate_labels=False)
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_decoded_frames_are_writable_and_independent(name: str) -> None:
    """Intent: Superset assigns to decoded frames; another reader of the same bytes must not see that."""
    codec_name, data = codec.encode(pd.DataFrame({"c": long(name), "d": long(name)}))
    ours, theirs, untouched = (codec.decode(codec_name, data) for _ in range(3))
    ours.columns = ["x", "y"]
    ours["z"] = 1
    for column in ours._iter_column_arrays():
        if name != "sparse":  # those nobody can assign to
            column[:] = column[::-1].copy()
    assert_same(theirs, untouched)


def test_a_decoded_frame_works_like_any_other() -> None:
    """Intent: the way it is put together leaves pandas nothing to stumble over."""
    frame = pd.DataFrame({"k": ["a", "b"] * 5, "v": np.arange(10), "t": pd.date_range("2026", periods=10)})
    back = again(frame)
    assert_same(back.groupby("k").agg({"v": "sum", "t": "max"}), frame.groupby("k").agg({"v": "sum", "t": "max"}))
    assert_same(back.merge(back, on="v").drop(columns="k_x"), frame.merge(frame, on="v").drop(columns="k_x"))
    assert back.to_dict("records") == frame.to_dict("records")
    back.insert(0, "new", back.pop("v"))
    assert list(back.copy().columns) == ["new", "k", "t"]
