"""DataFrames as bytes and back: column by column, each in the form that holds it exactly and cheapest.

Numbers, booleans and times are their own bytes, narrowed where all values fit into fewer and with
equal bytes put side by side, which zstd then folds. Strings are lists, or a dictionary where few
are distinct. Arrow's IPC format was measured beside this (`bench/codec.py`): its schema alone is
larger than the answer of most charts, and it has no room for mixed columns.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from superset_ext.errors import CodecError

if TYPE_CHECKING:
    from superset_ext.cache.codec import Reader, Writer

LARGE = 512  # rows from which a column is worth a closer look
FEW = 0.3  # share of distinct strings up to which a dictionary pays
WIDTHS = (np.dtype("i1"), np.dtype("i2"), np.dtype("i4"))
_SHUFFLED = "shuffled"


def write(frame: pd.DataFrame, writer: Writer) -> bytes:
    """The bytes of a frame."""
    if not frame.flags.allows_duplicate_labels:
        return writer.pack([writer.pickle(frame)])
    columns = [_write_array(array, writer) for array in frame._iter_column_arrays()]
    return writer.pack(
        [_write_index(frame.columns, writer), _write_index(frame.index, writer), columns, dict(frame.attrs)]
    )


def read(data: bytes, reader: Reader) -> pd.DataFrame:
    """The frame of some bytes, which shares nothing with any other."""
    parts = reader.unpack(data)
    if len(parts) == 1:
        return parts[0]
    columns, index = _read_index(parts[0]), _read_index(parts[1])
    arrays = [_read_array(part, len(index)) for part in parts[2]]
    if len(arrays) != len(columns):
        raise CodecError("an entry's frame has lost a column")
    frame = pd.DataFrame(dict(enumerate(arrays)), index=index, copy=False)
    frame.columns = columns
    if parts[3]:
        frame.attrs.update(parts[3])
    return frame


def _write_array(array: Any, writer: Writer) -> list[Any]:
    """A column as [form, …]."""
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        array = np.asarray(array)
        return _write_objects(array) if dtype.kind == "O" else _write_numbers(array)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _write_index(dtype.categories, writer)
        return ["category", _write_numbers(np.asarray(array.codes)), categories, bool(dtype.ordered)]
    if isinstance(dtype, pd.DatetimeTZDtype):
        return ["zoned", _write_numbers(array.asi8), dtype.unit, dtype.tz]
    return ["pickle", writer.pickle(array)]


def _read_array(parts: list[Any], rows: int) -> Any:
    form = parts[0]
    if form == "list":
        return _objects(parts[1])
    if form == "words":
        return _objects(parts[2])[_read_numbers(parts[1])]
    if form == "decimal":
        return _objects([Decimal(text) for text in parts[1]])
    if form == "category":
        return pd.Categorical.from_codes(_read_numbers(parts[1]), _read_index(parts[2]), ordered=parts[3])
    if form == "zoned":
        values = _read_numbers(parts[1]).view(f"M8[{parts[2]}]")
        return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(parts[3]).array
    if form == "pickle":
        return parts[1]
    return _read_numbers(parts)


def _write_numbers(array: np.ndarray[Any, Any]) -> list[Any]:
    """[dtype, stored dtype, "shuffled" or "", bytes]."""
    stored = _narrowed(array) if len(array) >= LARGE else array
    if len(array) < LARGE or stored.dtype.itemsize == 1:
        return [array.dtype.str, stored.dtype.str, "", stored.tobytes()]
    side_by_side = np.ascontiguousarray(stored).view("u1").reshape(len(stored), stored.dtype.itemsize).T
    return [array.dtype.str, stored.dtype.str, _SHUFFLED, side_by_side.tobytes()]


def _narrowed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Integers in the fewest bytes that hold them all."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        return array
    low, high = array.min(), array.max()
    for width in WIDTHS:
        if width.itemsize < array.dtype.itemsize and np.iinfo(width).min <= low and high <= np.iinfo(width).max:
            return array.astype(width)
    return array


def _read_numbers(parts: list[Any]) -> np.ndarray[Any, Any]:
    dtype, stored, form, data = parts
    kind = np.dtype(stored)
    if kind.kind not in "biufcmM":
        raise CodecError(f"an entry's column has the dtype {stored}")
    if form == _SHUFFLED:
        flat = np.frombuffer(data, "u1").reshape(kind.itemsize, -1).T
        return np.ascontiguousarray(flat).view(kind).reshape(-1).astype(dtype, copy=False)
    return np.frombuffer(data, kind).astype(dtype, copy=True)


def _write_objects(array: np.ndarray[Any, Any]) -> list[Any]:
    values = array.tolist()
    if len(values) < LARGE:
        return ["list", values]
    kind = pd.api.types.infer_dtype(array, skipna=False)
    if kind == "string":
        return _write_strings(values)
    if kind == "decimal" and all(type(v) is Decimal for v in values):
        return ["decimal", [str(v) for v in values]]
    return ["list", values]


def _write_strings(values: list[Any]) -> list[Any]:
    """A dictionary where few strings are distinct, as a sample says; a subclass of str is left to the list."""
    sample = values[:: max(1, len(values) // LARGE)]
    if len(set(sample)) > FEW * len(sample) or any(type(v) is not str for v in values):
        return ["list", values]
    try:
        encoded = pa.array(values, type=pa.string()).dictionary_encode()
    except (pa.ArrowException, UnicodeError):  # a lone surrogate, which Arrow cannot hold
        return ["list", values]
    return ["words", _write_numbers(encoded.indices.to_numpy()), encoded.dictionary.to_pylist()]


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    """An object array of exactly these values; numpy would make lists of lists two-dimensional."""
    array = np.empty(len(values), dtype=object)
    array[:] = values if not any(type(v) in (list, tuple, np.ndarray) for v in values[:1]) else [None] * len(values)
    if values and type(values[0]) in (list, tuple, np.ndarray):
        for place, value in enumerate(values):
            array[place] = value
    return array


def _write_index(index: pd.Index, writer: Writer) -> list[Any]:
    """A row or column index as [form, …]."""
    kind = type(index)
    if kind is pd.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if kind is pd.Index and isinstance(index.dtype, np.dtype):
        return ["index", _write_array(index._values, writer), str(index.dtype), index.name]
    if kind is pd.DatetimeIndex and index.freq is None and index.tz is None:
        return ["index", _write_numbers(np.asarray(index)), str(index.dtype), index.name]
    return ["pickle", writer.pickle(index)]


def _read_index(parts: list[Any]) -> pd.Index:
    if parts[0] == "range":
        return pd.RangeIndex(parts[1], parts[2], parts[3], name=parts[4])
    if parts[0] == "index":
        return pd.Index(_read_array(parts[1], -1), dtype=parts[2], name=parts[3])
    return parts[1]
