"""DataFrames as plain parts and back: columns, both indexes, attributes.

Arrow's IPC format was measured beside this (`bench/codec.py`): its schema alone is larger than the
answer of most charts, and it has no room for columns of mixed types. It serves for the columns
that lie in Arrow already.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas.core.internals.managers import create_block_manager_from_column_arrays

from superset_ext.cache.arrays import Parts
from superset_ext.cache.columns import column_of, column_parts, index_of, index_parts

MANY = 64  # columns above which pandas is quicker with like ones together


def parts_of(frame: pd.DataFrame) -> Parts:
    """The form of a frame."""
    columns = [column_parts(array) for array in frame._iter_column_arrays()]
    return [index_parts(frame.columns), index_parts(frame.index), columns, frame.attrs]


def frame_of(parts: Parts) -> pd.DataFrame:
    """The frame of a form, writable and nobody else's."""
    columns, index, arrays, attrs = parts
    frame = _assembled([column_of(array) for array in arrays], index_of(columns), index_of(index))
    if attrs:
        frame.attrs = attrs
    return frame


def _assembled(arrays: list[Any], columns: pd.Index, index: pd.Index) -> pd.DataFrame:
    """What `DataFrame.from_records` and the like end in; the public ways there take longer than all the rest."""
    if not arrays:
        return pd.DataFrame(index=index, columns=columns)
    manager = create_block_manager_from_column_arrays(
        arrays, [columns, index], consolidate=len(arrays) > MANY, refs=[None] * len(arrays)
    )
    return pd.DataFrame._from_mgr(manager, axes=manager.axes)
