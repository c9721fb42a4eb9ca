"""DataFrames as plain parts and back: both indexes, and the blocks that pandas keeps columns of one dtype in.

What has no form here stands in the parts as it is, and the codec pickles it.

Arrow's IPC format was measured beside this (`bench/codec.py`): its schema alone is larger than the
answer of most charts, and it has no room for columns of mixed types. It serves for the columns
that lie in Arrow already.

Blocks are read and put together by way of `pandas.core.internals`, as pyarrow and pickle do it: the
public constructors take longer than all the rest. Superset 6.1 pins pandas to 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas._libs.internals import BlockPlacement
from pandas.core.internals import BlockManager, make_block
from pandas.core.internals.blocks import get_block_type

from superset_ext.cache.codec import arrays, objects
from superset_ext.cache.codec.arrays import SHORT, Array, Parts

_TIMES = {"M": pd.arrays.DatetimeArray, "m": pd.arrays.TimedeltaArray}
_MASKED = {kind.__name__: kind for kind in (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)}
_INDEXES = (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.IntervalIndex, pd.CategoricalIndex)


def parts_of(frame: pd.DataFrame) -> Parts:
    """The form of a frame."""
    blocks = [_block_parts(block, frame) for block in frame._mgr.blocks]
    return [index_parts(frame.columns), index_parts(frame.index), blocks, frame.attrs]


def frame_of(parts: Parts) -> pd.DataFrame:
    """The frame of a form, writable and nobody else's."""
    columns, index, blocks, attrs = parts
    axes = [index_of(columns), index_of(index)]
    manager = BlockManager([made for block in blocks for made in _blocks(block, len(axes[1]))], axes, False)
    frame = pd.DataFrame._from_mgr(manager, axes=axes)
    if attrs:
        frame.attrs = attrs
    return frame


def _block_parts(block: Any, frame: pd.DataFrame) -> Parts:
    """The places of a block's columns, and they: each by itself, or all in one where they are short numbers."""
    places = block.mgr_locs.as_array.tolist()
    dtype = block.dtype
    if not isinstance(dtype, np.dtype):
        return [places, [column_parts(frame._get_column_array(place)) for place in places]]
    table = block.values._ndarray if dtype.kind in "mM" else block.values
    if dtype.kind == "O" or table.shape[1] >= SHORT:
        return [places, [column_parts(column) for column in table]]
    return [places, None, column_parts(table.ravel())]


def _blocks(parts: Parts, rows: int) -> list[Any]:
    places, columns, *table = parts
    if columns is None:
        return [_block(column_of(table[0]).reshape(len(places), rows), places)]
    arrays = [column_of(column) for column in columns]
    if not isinstance(arrays[0], np.ndarray):
        return [make_block(array, placement=[place], ndim=2) for array, place in zip(arrays, places, strict=True)]
    # Without its dtype `stack` makes an array in the machine's byte order.
    together = arrays[0].reshape(1, rows) if len(arrays) == 1 else np.stack(arrays, dtype=arrays[0].dtype)
    return [_block(together, places)]


def _block(table: Array, places: list[int]) -> Any:
    kind = get_block_type(table.dtype)
    times = _TIMES.get(table.dtype.kind)
    values = times._simple_new(table, dtype=table.dtype) if times else table
    where = slice(places[0], places[0] + 1) if len(places) == 1 else np.array(places, dtype=np.intp)
    return kind(values, placement=BlockPlacement(where), ndim=2)


def column_parts(array: Any) -> Parts:
    """The form of a one-dimensional numpy or pandas extension array."""
    if isinstance(array.dtype, np.dtype):
        return ["objects", objects.object_parts(array)] if array.dtype == object else arrays.parts_of(array)
    for kind, form, write in _WRITE:
        if isinstance(array.dtype, kind):
            return [form, *write(array)]
    return ["foreign", array]


def column_of(parts: Parts) -> Any:
    """The array of a form."""
    read = _READ.get(parts[0])
    return read(*parts[1:]) if read else arrays.array_of(parts)


def index_parts(index: pd.Index) -> Parts:
    """The form of a row or column index."""
    kind = type(index)
    if kind is pd.Index and index.dtype == object:
        return ["labels", objects.object_parts(index.to_numpy()), index.name]
    if kind is pd.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if kind is pd.MultiIndex:
        levels = [index_parts(level) for level in index.levels]
        codes = [arrays.parts_of(np.asarray(code)) for code in index.codes]
        return ["multi", levels, codes, list(index.names), index.sortorder]
    freq = getattr(index, "freq", None) if kind is not pd.PeriodIndex else None
    if kind not in _INDEXES or (freq is not None and pd.tseries.frequencies.to_offset(freq.freqstr) != freq):
        return ["foreign", index]
    array = index.to_numpy() if isinstance(index.dtype, np.dtype) else index.array
    return ["index", column_parts(array), index.name, freq and freq.freqstr]


def index_of(parts: Parts) -> pd.Index:
    """The index of a form."""
    if parts[0] == "labels":  # what pd.Index comes to after it has looked at each label
        return pd.Index._simple_new(objects.objects_of(parts[1]), name=parts[2])
    if parts[0] == "range":
        return pd.RangeIndex(parts[1], parts[2], parts[3], name=parts[4])
    if parts[0] == "multi":
        levels, codes = map(index_of, parts[1]), map(arrays.array_of, parts[2])
        return pd.MultiIndex(list(levels), list(codes), names=parts[3], sortorder=parts[4], verify_integrity=False)
    if parts[0] == "foreign":
        return parts[1]
    array = column_of(parts[1])
    index = pd.Index(array, dtype=array.dtype, name=parts[2], tupleize_cols=False, copy=False)
    if parts[3]:
        index.freq = parts[3]
    return index


def _categories(array: pd.Categorical) -> Parts:
    return [arrays.parts_of(np.asarray(array.codes)), index_parts(array.categories), bool(array.ordered)]


def _read_categories(codes: Parts, categories: Parts, ordered: bool) -> pd.Categorical:
    return pd.Categorical.from_codes(arrays.array_of(codes), index_of(categories), ordered=ordered)


def _zoned(array: Any) -> Parts:
    unit = array.dtype.unit
    return [arrays.parts_of(array.asi8.view(f"M8[{unit}]")), unit, array.dtype.tz]


def _read_zoned(numbers: Parts, unit: str, zone: Any) -> Any:
    return pd.arrays.DatetimeArray(arrays.array_of(numbers), dtype=pd.DatetimeTZDtype(unit, zone))


def _masked(array: Any) -> Parts:
    plain = array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=array.dtype.type(0))
    return [type(array).__name__, arrays.parts_of(plain), arrays.parts_of(array.isna())]


def _read_masked(kind: str, plain: Parts, mask: Parts) -> Any:
    return _MASKED[kind](arrays.array_of(plain), arrays.array_of(mask))


def _string(array: Any) -> Parts:
    if array.dtype.storage != "python":
        return ["arrow", *_arrow(array)]
    return ["python", objects.object_parts(array.to_numpy(dtype=object, na_value=None))]


def _read_string(storage: str, parts: Any) -> Any:
    dtype = pd.StringDtype(storage if storage == "python" else "pyarrow")
    return (
        pd.array(objects.objects_of(parts), dtype=dtype)
        if storage == "python"
        else dtype.__from_arrow__(_column(parts))
    )


def _arrow(array: Any) -> Parts:
    """What lies in Arrow already, in its own stream format."""
    table = pa.table({"": array.__arrow_array__()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return [sink.getvalue().to_pybytes()]


def _column(data: bytes) -> pa.ChunkedArray:
    return pa.ipc.open_stream(data).read_all().column(0)


def _read_arrow(data: bytes) -> Any:
    column = _column(data)
    return pd.ArrowDtype(column.type).__from_arrow__(column)


def _interval(array: Any) -> Parts:
    return [index_parts(array.left), index_parts(array.right), array.closed]


def _read_interval(left: Parts, right: Parts, closed: str) -> Any:
    return pd.arrays.IntervalArray.from_arrays(index_of(left), index_of(right), closed)


_WRITE: tuple[tuple[type, str, Callable[[Any], Parts]], ...] = (
    (pd.CategoricalDtype, "category", _categories),
    (pd.DatetimeTZDtype, "zoned", _zoned),
    (pd.StringDtype, "string", _string),
    (pd.ArrowDtype, "arrow", _arrow),
    (pd.PeriodDtype, "period", lambda array: [arrays.parts_of(array.asi8), array.dtype.freq.freqstr]),
    (pd.IntervalDtype, "interval", _interval),
    (pd.core.arrays.masked.BaseMaskedDtype, "masked", _masked),
)
_READ: dict[str, Callable[..., Any]] = {
    "objects": objects.objects_of,
    "category": _read_categories,
    "zoned": _read_zoned,
    "string": _read_string,
    "arrow": _read_arrow,
    "period": lambda ordinals, freq: pd.arrays.PeriodArray(arrays.array_of(ordinals), dtype=pd.PeriodDtype(freq)),
    "interval": _read_interval,
    "masked": _read_masked,
    "foreign": lambda array: array,
}
