"""Numpy's numbers and times as plain parts and back, exactly and in few bytes.

A form is a list that begins with its name. Short arrays are their own bytes. In long ones, integers
are the distance from the smallest in as few bytes as hold it, with the bytes of equal rank side by
side (the shuffle of HDF5 and Blosc), which compressors then fold; times are integers in the coarsest
unit that they are all multiples of; floats that are decimals of a few places are those integers
(the idea of ALP, Afroozeh and Boncz, SIGMOD 2024, without its exceptions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from superset_ext.errors import CodecError

Array: TypeAlias = np.ndarray[Any, Any]
Parts: TypeAlias = list[Any]

LONG = 8192  # values from which a closer look pays (bench/codec.py)
_SAMPLE = 64  # values that settle most closer looks
_KINDS = "biufcmM"
_PLACES = (0, 1, 2, 3, 4)  # decimal places that floats are tried with
_EXACT = 2.0**53  # above it, floats skip integers
_WIDTHS = ("u1", "u2", "u4", "u8")
_NAN_BITS = np.array(np.nan).view("i8")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def parts_of(array: Array) -> Parts:
    """The form of an array of numbers, booleans or times.

    Raises:
        CodecError: its dtype is none of those.
    """
    kind = array.dtype.kind
    if kind not in _KINDS:
        raise CodecError(f"a column of the dtype {array.dtype} cannot be stored")
    if len(array) < LONG or not array.dtype.isnative or kind in "bc":
        return _raw(array)
    array = np.ascontiguousarray(array)
    if kind in "iu":
        return _integers(array, 1)
    return _times(array) if kind in "mM" else _floats(array)


def array_of(parts: Parts) -> Array:
    """The array of a form: writable, and nobody else's.

    Raises:
        CodecError: there is no such form.
    """
    form = _FORMS.get(parts[0])
    if form is None:
        raise CodecError(f"an entry holds an unknown column, {parts[0]!r}")
    return form(*parts[1:])


def _raw(array: Array) -> Parts:
    return ["raw", array.dtype.str, array.tobytes()]


def _read_raw(dtype: str, data: bytes) -> Array:
    return np.frombuffer(data, dtype).copy()


def _integers(array: Array, step: int) -> Parts:
    """As multiples of `step` above the smallest; all arithmetic is modulo 2**64, so that no span overflows."""
    low, high = int(array.min()), int(array.max())
    span = (high - low) // step
    width = next(width for width in _WIDTHS if span <= np.iinfo(width).max)
    above = array.astype("i8" if array.dtype.kind == "i" else "u8", copy=False).view("u8") - np.uint64(low % 2**64)
    if step > 1:
        above //= np.uint64(step)
    return ["ints", array.dtype.str, width, low, step, _shuffle(above.astype(width))]


def _read_integers(dtype: str, width: str, low: int, step: int, data: bytes) -> Array:
    wide = _unshuffle(data, width).astype("u8", copy=False)
    if step > 1:
        wide *= np.uint64(step)
    wide += np.uint64(low % 2**64)
    return wide.view(dtype) if np.dtype(dtype).itemsize == 8 else wide.astype(dtype)


def _shuffle(array: Array) -> bytes:
    size = array.dtype.itemsize
    return (array if size == 1 else array.view("u1").reshape(-1, size).T).tobytes()


def _unshuffle(data: bytes, dtype: str) -> Array:
    planes = np.frombuffer(data, "u1").reshape(np.dtype(dtype).itemsize, -1)
    return planes.T.copy().view(dtype).reshape(-1)


def _times(array: Array) -> Parts:
    missing = np.isnat(array)
    if missing.any():
        return _gaps(array, missing)
    numbers = array.view("i8")
    return ["times", array.dtype.str, _integers(numbers, _step(numbers, np.datetime_data(array.dtype)[0]))]


def _step(numbers: Array, unit: str) -> int:
    """The coarsest of day, hour, second, millisecond and microsecond that all are apart by multiples of."""
    second = _PER_SECOND.get(unit, 0)
    above = numbers.view("u8") - np.uint64(int(numbers.min()) % 2**64)
    for step in (86_400 * second, 3600 * second, second, second // 10**3, second // 10**6):
        if step > 1 and not any((part % np.uint64(step)).any() for part in (above[:_SAMPLE], above)):
            return step
    return 1


def _read_times(dtype: str, numbers: Parts) -> Array:
    return array_of(numbers).view(dtype)


def _floats(array: Array) -> Parts:
    if array.dtype != np.float64:
        return _raw(array)
    missing = np.isnan(array)
    if missing.any():
        usual = bool((array.view("i8")[missing] == _NAN_BITS).all())
        return _gaps(array, missing) if usual else _raw(array)
    for places in _PLACES:
        if _is_decimal(array[:_SAMPLE], places):
            return _tenths(array, places) if _is_decimal(array, places) else _raw(array)
    return _raw(array)


def _is_decimal(array: Array, places: int) -> bool:
    """Whether integers divided by ten to that power are these very floats, bit for bit."""
    whole = np.rint(array * 10.0**places)
    if not (np.abs(whole) < _EXACT).all():
        return False
    # Through integers, as the reader does it: they have no minus zero.
    again = whole.astype("i8") / 10.0**places
    return bool((again.view("i8") == array.view("i8")).all())


def _tenths(array: Array, places: int) -> Parts:
    return ["tenths", places, _integers(np.rint(array * 10.0**places).astype("i8"), 1)]


def _read_tenths(places: int, whole: Parts) -> Array:
    return array_of(whole) / 10.0**places


def _gaps(array: Array, missing: Array) -> Parts:
    """Where values are missing, and the array with a value of its own in those places."""
    if missing.all():
        return _raw(array)
    filled = array.copy()
    filled[missing] = array[int(np.argmin(missing))]
    return ["gaps", parts_of(np.flatnonzero(missing)), parts_of(filled)]


def _read_gaps(places: Parts, filled: Parts) -> Array:
    array = array_of(filled)
    array[array_of(places)] = np.nan if array.dtype.kind == "f" else np.array("NaT", array.dtype)
    return array


_FORMS: dict[str, Callable[..., Array]] = {
    "raw": _read_raw,
    "ints": _read_integers,
    "times": _read_times,
    "tenths": _read_tenths,
    "gaps": _read_gaps,
}
