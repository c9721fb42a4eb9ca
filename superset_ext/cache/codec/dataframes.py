"""DataFrames as plain parts and back: both indexes, and the blocks that pandas keeps columns of one dtype in.

Arrow's IPC format was measured beside this (`bench/codec.py`): its schema alone is larger than the
answer of most charts, and it has no room for columns of mixed types. It serves for the columns
that lie in Arrow already.

Blocks are read and put together by way of `pandas.core.internals`, as pyarrow and pickle do it: the
public constructors take longer than all the rest. Superset 6.1 pins pandas to 2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas._libs.internals import BlockPlacement
from pandas.core.internals import BlockManager, make_block
from pandas.core.internals.blocks import get_block_type

from superset_ext.cache.codec.arrays import SHORT, Array, Parts
from superset_ext.cache.codec.columns import column_of, column_parts, index_of, index_parts

_TIMES = {"M": pd.arrays.DatetimeArray, "m": pd.arrays.TimedeltaArray}


def parts_of(frame: pd.DataFrame) -> Parts:
    """The form of a frame."""
    blocks = [_block_parts(block, frame) for block in frame._mgr.blocks]
    return [index_parts(frame.columns), index_parts(frame.index), blocks, frame.attrs]


def frame_of(parts: Parts) -> pd.DataFrame:
    """The frame of a form, writable and nobody else's."""
    columns, index, blocks, attrs = parts
    axes = [index_of(columns), index_of(index)]
    manager = BlockManager([each for block in blocks for each in _blocks(block, len(axes[1]))], axes, False)
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
    return [_block(arrays[0].reshape(1, rows) if len(arrays) == 1 else np.stack(arrays), places)]


def _block(table: Array, places: list[int]) -> Any:
    kind = get_block_type(table.dtype)
    times = _TIMES.get(table.dtype.kind)
    values = times._simple_new(table, dtype=table.dtype) if times else table
    where = slice(places[0], places[0] + 1) if len(places) == 1 else np.array(places, dtype=np.intp)
    return kind(values, placement=BlockPlacement(where), ndim=2)
