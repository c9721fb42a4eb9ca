"""Numpy's numbers and times as plain parts and back, exactly and in few bytes.

A form is a list that begins with its name. Short arrays are their own bytes. In longer ones,
integers are the distance from the smallest in as few bytes as hold it; times are integers in the
coarsest unit that they are all multiples of; floats that are decimals of a few places are those
integers (the idea of ALP, Afroozeh and Boncz, SIGMOD 2024, without its exceptions). In long ones the
bytes of equal rank lie side by side (the shuffle of HDF5 and Blosc), which compressors then fold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from superset_ext.errors import CodecError

Array: TypeAlias = np.ndarray[Any, Any]
Parts: TypeAlias = list[Any]

SHORT = 500  # values below which nothing pays but to copy them (bench/codec.py)
LONG = 8192  # values from which it pays to reorder bytes
_SAMPLE = 64  # values that settle most closer looks
_KINDS = "biufcmM"
_POWERS = 10.0 ** np.arange(5)  # of the decimal places that floats are tried with
_EXACT = 2.0**53  # above it, floats skip integers
_WIDTHS = ["u1"] * 9 + ["u2"] * 8 + ["u4"] * 16 + ["u8"] * 32  # by bits
_NAN_BITS = np.array(np.nan).view("i8")
_NAT = np.iinfo("i8").min
_STEPS = {  # of each unit, in a day, an hour, a second, a millisecond, a microsecond
    "s": np.array([86_400, 3600], dtype="u8"),
    "ms": np.array([86_400 * 10**3, 3600 * 10**3, 10**3], dtype="u8"),
    "us": np.array([86_400 * 10**6, 3600 * 10**6, 10**6, 10**3], dtype="u8"),
    "ns": np.array([86_400 * 10**9, 3600 * 10**9, 10**9, 10**6, 10**3], dtype="u8"),
}


def parts_of(array: Array) -> Parts:
    """The form of an array of numbers, booleans or times.

    Raises:
        CodecError: its dtype is none of those.
    """
    kind = array.dtype.kind
    if kind not in _KINDS:
        raise CodecError(f"a column of the dtype {array.dtype} cannot be stored")
    if len(array) < SHORT or not array.dtype.isnative or kind in "bc":
        return _raw(array)
    array = np.ascontiguousarray(array)
    if kind in "iu":
        return _integers(array)
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


def _integers(array: Array) -> Parts:
    """As what they are above the smallest; all arithmetic is modulo 2**64, so that no span overflows."""
    low = int(array.min())
    above = array.astype("i8" if array.dtype.kind == "i" else "u8", copy=False).view("u8") - np.uint64(low % 2**64)
    return ["ints", array.dtype.str, low, 1, *_narrow(above)]


def _narrow(above: Array) -> Parts:
    width = _WIDTHS[int(above.max()).bit_length()]
    return [width, _shuffle(above.astype(width))]


def _read_integers(dtype: str, low: int, step: int, width: str, data: bytes) -> Array:
    wide = _unshuffle(data, width).astype("u8")
    if step > 1:
        wide *= np.uint64(step)
    wide += np.uint64(low % 2**64)
    return wide.view(dtype) if np.dtype(dtype).itemsize == 8 else wide.astype(dtype)


def _shuffle(array: Array) -> bytes:
    size = array.dtype.itemsize
    together = size == 1 or len(array) < LONG
    return (array if together else array.view("u1").reshape(-1, size).T).tobytes()


def _unshuffle(data: bytes, dtype: str) -> Array:
    size = np.dtype(dtype).itemsize
    if len(data) < LONG * size:
        return np.frombuffer(data, dtype)
    return np.frombuffer(data, "u1").reshape(size, -1).T.copy().view(dtype).reshape(-1)


def _times(array: Array) -> Parts:
    numbers = array.view("i8")
    low = int(numbers.min())
    if low == _NAT:
        return _gaps(array, np.isnat(array))
    above = numbers.view("u8") - np.uint64(low % 2**64)
    step = _step(above, np.datetime_data(array.dtype)[0])
    if step > 1:
        above //= np.uint64(step)
    return ["ints", array.dtype.str, low, step, *_narrow(above)]


def _step(above: Array, unit: str) -> int:
    """The coarsest of day, hour, second, millisecond and microsecond that all are multiples of; else 1."""
    steps = _STEPS.get(unit)
    if steps is None:
        return 1
    fits = ~(above[:_SAMPLE, np.newaxis] % steps).any(axis=0)
    step = steps[int(np.argmax(fits))] if fits.any() else 1
    return int(step) if step > 1 and not (above % step).any() else 1


def _floats(array: Array) -> Parts:
    if array.dtype != np.float64:
        return _raw(array)
    missing = np.isnan(array)
    if missing.any():
        usual = bool((array.view("i8")[missing] == _NAN_BITS).all())
        return _gaps(array, missing) if usual else _raw(array)
    places = _places(array[:_SAMPLE])
    return _tenths(array, places) if places is not None and _is_decimal(array, places) else _raw(array)


def _places(sample: Array) -> int | None:
    """The fewest decimal places that all of a sample seem to have."""
    column = sample[:, np.newaxis]
    fits = (np.rint(column * _POWERS) / _POWERS == column).all(axis=0)
    return int(np.argmax(fits)) if fits.any() else None


def _is_decimal(array: Array, places: int) -> bool:
    """Whether integers divided by ten to that power are these very floats, bit for bit."""
    whole = np.rint(array * _POWERS[places])
    if not (np.abs(whole) < _EXACT).all():
        return False
    # Through integers, as the reader does it: they have no minus zero.
    again = whole.astype("i8") / _POWERS[places]
    return bool((again.view("i8") == array.view("i8")).all())


def _tenths(array: Array, places: int) -> Parts:
    return ["tenths", places, _integers(np.rint(array * _POWERS[places]).astype("i8"))]


def _read_tenths(places: int, whole: Parts) -> Array:
    return np.divide(array_of(whole), _POWERS[places])


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
    "tenths": _read_tenths,
    "gaps": _read_gaps,
}
