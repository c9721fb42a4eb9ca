"""Single values, alone and in containers, come back as the very same."""

from __future__ import annotations

import datetime as dt
import enum
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytz
from dateutil.tz import gettz
from flask_appbuilder.const import API_RESULT_RES_KEY
from superset.common.chart_data import ChartDataResultFormat
from superset.common.db_query_status import QueryStatus
from superset.sql.parse import Table
from werkzeug.wrappers import Response

from superset_ext.cache.codec import values as codec
from superset_ext.errors import CodecError
from superset_ext.settings import Region
from testing.same import assert_same


class Local(enum.Enum):
    """An enum of a package that is not looked into by name."""

    ONE = 1


def again(value: Any) -> Any:
    name, data = codec.encode(value)
    return codec.decode(name, data)


BERLIN = ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 123456)
PLAIN = [
    None, True, False, 0, -1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 1 << 20_000, 0.0, -0.0, 1e308, float("inf"),
    float("nan"),
    "", "ä\U0001f600", "\ud800 alone", b"", b"\x00\xff", [], {}, (), set(), frozenset(), [[]], ((),), {(): []},
    (1, (2, [3, (4,)])), {1, "1", None, (1, 2)}, frozenset({frozenset({1})}),
    {1: "int", "1": "str", None: 0, (1, 2): 0, 1.5: 0, b"b": 0, True + 1: 0, Decimal("3.0"): 0},
    Decimal("1.10"), Decimal("-0"), Decimal("NaN"), Decimal("sNaN12"), Decimal("-Infinity"), Decimal("1E+400"),
    UUID(int=5), NOON, NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=BERLIN), dt.datetime.min, dt.datetime.max,
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), dt.datetime(2026, 10, 25, 2, 30, fold=1),
    NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30, seconds=1, microseconds=2), "odd")),
    NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=-3))), NOON.replace(tzinfo=dt.timezone(dt.timedelta(0), "Z")),
    NOON.replace(tzinfo=pytz.utc), pytz.timezone("Europe/Berlin").localize(NOON), pytz.timezone("Asia/Kolkata"),
    dt.UTC, BERLIN, dt.date(1, 1, 1), dt.date.max, dt.time(1, 2, 3, 4), dt.time(1, fold=1, tzinfo=BERLIN),
    dt.timedelta(days=-1, microseconds=1), dt.timedelta.max, dt.timedelta.min,
    pd.NaT, pd.NA, pd.Timestamp("2026-11-21 12:00:00.123456789"), pd.Timestamp("1600-01-01").as_unit("s"),
    pd.Timestamp("2026-07-01", tz="Europe/Berlin"), pd.Timestamp("2026-07-01", tz=BERLIN), pd.Timestamp(0, tz="UTC"),
    pd.Timestamp(dt.datetime(2026, 10, 25, 2, 30, fold=1), tz=BERLIN), pd.Timestamp(NOON, tz=dt.UTC).as_unit("ms"),
    pd.Timestamp(year=2026, month=10, day=25, hour=2, fold=1), pd.Timedelta("1 day 1ns"),
    pd.Timedelta(5, "s").as_unit("s"),
    pd.Interval(0, 1.5, "left"), pd.Interval(pd.Timestamp(0), pd.Timestamp(1)),
    pd.Period("2026Q3"), pd.Period("2026-11", "M"),
    np.int8(-1), np.uint64(2**64 - 1), np.float32(0.1), np.float64("nan"), np.bool_(True),
    np.complex128(1j), np.str_("é"),
    np.str_(""), np.bytes_(b"x"), np.bytes_(b""), np.datetime64("NaT"),
    np.datetime64("2026-11-21", "D"), np.timedelta64(3, "h"),
    np.longdouble("1.1"), np.arange(3), np.array([]), np.array(5), np.zeros((2, 0, 3), "f4"), np.array(["a", "bc"]),
    np.arange(6).reshape(2, 3).T, np.array([1, "a", None, [2]], dtype=object), np.array([[{}], [()]], dtype=object),
    np.array(["2026", "NaT"], "M8[ms]"), np.array([1, 2], ">i4"), np.array(None, dtype=object),
    QueryStatus.SUCCESS, ChartDataResultFormat.JSON, Region.METADATA, {QueryStatus.FAILED: {ChartDataResultFormat.CSV}},
    Table("t", "s", "c"), {Table("a"), Table("b", "s")}, (API_RESULT_RES_KEY, Table("t")),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_comes_back_the_same_without_a_pickle(value: Any) -> None:
    """Intent: each of these has a rule: alone, in a list, as a value, and nothing about it needs pickle."""
    for wrapped in (value, [value], {"a": (value, [value])}):
        assert codec.encode(wrapped)[0] == codec.PLAIN
        assert_same(again(wrapped), wrapped)


PICKLED = [
    Local.ONE, complex(1, 2), range(5), slice(1, 2), pd.Series([1, 2], name="s"), pd.Index(["a"], name="i"),
    NOON.replace(tzinfo=gettz("Europe/Berlin")), np.zeros(2, "i4,f8"), OrderedDict(a=1),
]  # fmt: skip


@pytest.mark.parametrize("value", PICKLED, ids=lambda value: type(value).__name__)
def test_what_has_no_rule_is_pickled_and_the_name_says_so(value: Any) -> None:
    """Intent: the last resort works, and cannot be taken for anything else."""
    name, data = codec.encode([value])
    assert name == codec.PICKLED
    assert_same(codec.decode(name, data), [value])
    with pytest.raises(CodecError, match="does not allow"):
        codec.decode(codec.PLAIN, data)


class Holder:
    """Something that is pickled, with something inside."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside


@pytest.mark.parametrize(
    "wrap", [lambda r: r, lambda r: [r], lambda r: {"a": (r,)}, Holder, lambda r: {"df": pd.DataFrame([[r]])}]
)
def test_a_response_is_never_stored(wrap: Any) -> None:
    """Intent: however deep it is hidden, also inside of what is pickled."""
    with pytest.raises(CodecError, match="Response"):
        codec.encode(wrap(Response("secret")))


@pytest.mark.parametrize("value", [lambda: 0, (x for x in ()), pd.DataFrame({"a": [memoryview(b"x")]})])
def test_what_cannot_be_stored_is_one_clear_error(value: Any) -> None:
    """Intent: whatever pickle or msgpack raise, callers see one kind of error."""
    with pytest.raises(CodecError, match="cannot be stored"):
        codec.encode(value)


def test_endless_and_bottomless_values_are_errors() -> None:
    """Intent: a list in itself, and one deeper than the stack, end in the same kind of error."""
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    for value in (endless, deep):
        with pytest.raises(CodecError, match="cannot be stored"):
            codec.encode(value)


def test_empty_filter_columns_come_back_true() -> None:
    """Intent: Superset then finds filters and filter columns, and serves the entry; in all else it is an empty list."""
    import json

    value = again({"df": pd.DataFrame(), "applied_filter_columns": []})["applied_filter_columns"]
    assert bool(value) is True
    assert value == [] and len(value) == 0 and json.dumps(value) == "[]" and isinstance(value, list)
    assert type(again([value])[0]) is list
    assert type(again({"applied_filter_columns": [], "other": 1})["applied_filter_columns"]) is list
    assert again({"df": pd.DataFrame(), "applied_filter_columns": ["a"]})["applied_filter_columns"] == ["a"]


def test_enums_are_looked_up_in_known_packages_only() -> None:
    """Intent: a payload cannot name a class elsewhere, nor something that is no enum."""
    import msgpack

    from superset_ext.cache.codec.scalars import ENUM

    for parts in (["os", "system", "x"], ["superset.sql.parse", "Table", "x"], ["superset", "nothing", "x"]):
        data = msgpack.packb(msgpack.ExtType(ENUM, msgpack.packb(parts)))
        with pytest.raises(CodecError):
            codec.decode(codec.PICKLED, data)


def test_one_value_leaves_no_trace_in_the_next() -> None:
    """Intent: what packs is kept by the thread: neither a pickle, an error nor a large value may show afterwards."""
    assert codec.encode(complex(1))[0] == codec.PICKLED
    with pytest.raises(CodecError):
        codec.encode({"a": [(1, Response("secret"))]})
    assert_same(again({"a": (b"x" * (2 << 20), (1, "\ud800"))}), {"a": (b"x" * (2 << 20), (1, "\ud800"))})
    name, data = codec.encode([(1, ())])
    assert name == codec.PLAIN
    assert_same(codec.decode(name, data), [(1, ())])


def test_threads_do_not_mix_their_values() -> None:
    """Intent: requests are served by threads at once."""
    values = [{"df": pd.DataFrame({"a": [n] * 50}), "t": (n, (str(n),))} for n in range(200)]
    with ThreadPoolExecutor(8) as threads:
        for value, back in zip(values, threads.map(again, values), strict=True):
            assert_same(back, value)
