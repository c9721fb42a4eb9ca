"""Values and frames of any shape that Hypothesis thinks of come back the same."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from superset_ext.cache.codec import arrays
from superset_ext.cache.codec import values as codec
from superset_ext.cache.envelope import pack, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.errors import CodecError, EnvelopeError
from testing.same import assert_same

ZONES = st.sampled_from([None, dt.UTC, ZoneInfo("America/New_York"), dt.timezone(dt.timedelta(minutes=-90))])
LABELS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals()
    | st.datetimes(timezones=ZONES) | st.times() | st.timedeltas() | st.uuids() | st.sampled_from([pd.NaT, pd.NA])
    | st.characters(categories=["Cs"])
)  # fmt: skip
# Signalling NaNs have no hash.
KEYS = (LABELS | st.tuples(LABELS, LABELS)).filter(lambda key: _hashes(key))
VALUES = st.recursive(
    LABELS,
    lambda inside: st.lists(inside) | st.tuples(inside, inside) | st.dictionaries(KEYS, inside) | st.sets(KEYS),
    max_leaves=15,
)
DTYPES = (
    some.integer_dtypes() | some.unsigned_integer_dtypes() | some.floating_dtypes() | some.boolean_dtypes()
    | some.datetime64_dtypes(max_period="s", min_period="ns") | some.timedelta64_dtypes(max_period="s", min_period="ns")
)  # fmt: skip
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _hashes(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def again(value: Any) -> Any:
    name, data = codec.encode(value)
    return codec.decode(name, data)


@FEW
@given(VALUES)
def test_values(value: Any) -> None:
    """Intent: any nesting of any of the types that have rules."""
    assert_same(again(value), value)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 6))
    repeats = draw(st.sampled_from([1, 1, arrays.SHORT]))
    columns = [draw(_column(rows)) for _ in range(draw(st.integers(0, 4)))]
    labels = draw(st.lists(st.text(max_size=2) | st.integers(0, 2), min_size=len(columns), max_size=len(columns)))
    frame = pd.DataFrame({n: np.tile(column, repeats) for n, column in enumerate(columns)}, index=range(rows * repeats))
    frame.columns = pd.Index(labels, dtype=object)
    return frame


def _column(rows: int) -> st.SearchStrategy[Any]:
    mixed = st.lists(VALUES, min_size=rows, max_size=rows)
    alike = LABELS.flatmap(lambda one: st.lists(st.just(one) | st.none(), min_size=rows, max_size=rows))
    return some.arrays(DTYPES, rows) | (mixed | alike).map(_objects)


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    return np.fromiter(values, dtype=object, count=len(values))


@FEW
@given(frames())
def test_frames(frame: pd.DataFrame) -> None:
    """Intent: columns of any dtype or mixture, short and in their compact forms, under any labels."""
    assert_same(again(frame), frame)


@FEW
@given(
    DTYPES.flatmap(lambda dtype: some.arrays(dtype.newbyteorder("="), st.integers(arrays.SHORT - 1, 2 * arrays.SHORT)))
)
def test_long_arrays(array: np.ndarray[Any, Any]) -> None:
    """Intent: every compact form keeps every bit."""
    back = arrays.array_of(arrays.parts_of(array))
    assert back.dtype == array.dtype and back.flags.writeable
    assert_same(back, array)


@FEW
@given(
    some.arrays("i8", arrays.SHORT, elements=st.integers(-(10**9), 10**9), fill=st.integers(-(10**9), 10**9)),
    st.integers(0, 6),
    st.booleans(),
)
def test_decimal_floats(numbers: np.ndarray[Any, Any], places: int, gap: bool) -> None:
    """Intent: floats that look like decimals keep their last bit, whether or not they are stored as decimals."""
    array = numbers / 10.0**places
    if gap:
        array[::7] = np.nan
    assert arrays.array_of(arrays.parts_of(array)).tobytes() == array.tobytes()


@FEW
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_codec_error(data: bytes) -> None:
    """Intent: a decoder that is handed nonsense says so in one way."""
    with contextlib.suppress(CodecError):
        codec.decode(codec.PLAIN, data)


@FEW
@given(st.binary(max_size=300))
def test_any_bytes_are_no_entry(data: bytes) -> None:
    """Intent: nonsense under a cache key is refused before it is looked into."""
    for entry in (data, b"SXC\x01" + data):
        try:
            unpack(entry, key="k", ring=KeyRing("secret"), max_decoded=1 << 20)
        except EnvelopeError:
            continue
        raise AssertionError("nonsense was taken for an entry")


@FEW
@given(VALUES, st.text(max_size=20), st.sampled_from(["zstd", "lz4", "none"]))
def test_entries(value: Any, key: str, compression: str) -> None:
    """Intent: the whole way to Redis and back."""
    ring = KeyRing("secret")
    data = pack(
        value, key=key, ring=ring, as_of_us=1, tags=["t"], cost_ms=1, run_id="r", stored_at_us=2,
        fresh_until_us=3, compression=compression, level=1, min_size=0,
    )  # fmt: skip
    assert_same(unpack(data, key=key, ring=ring, max_decoded=1 << 24)[1], value)
