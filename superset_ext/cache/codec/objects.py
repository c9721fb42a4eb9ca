"""Arrays of Python objects as plain parts and back: a form for each type, a list where types are mixed.

`None` among values of one type is kept apart, so that the rest stays in that type's form.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from superset_ext.cache.codec.arrays import SHORT, Array, Parts, array_of, parts_of
from superset_ext.cache.codec.scalars import Mutable
from superset_ext.cache.codec.scalars import objects as object_array
from superset_ext.errors import CodecError

_SAMPLE = 250
FEW = 0.3  # share of distinct strings, in a sample, up to which a dictionary pays
_BYTE = 256
_NONE = type(None)


def object_parts(array: Array) -> Parts:
    """The form of a one-dimensional array of Python objects.

    Raises:
        CodecError: there is a memory view among them, which nobody can store.
    """
    values = array.tolist()
    kinds = set(map(type, values))
    if len(values) >= SHORT and kinds <= {str, _NONE} and (words := _strings(values)):
        return words
    if len(kinds) == 2 and _NONE in kinds and next(iter(kinds - {_NONE})) in _WRITE:
        return _sparse(values, next(iter(kinds - {_NONE})))
    return _typed(values, next(iter(kinds))) if len(kinds) == 1 else _mixed(values, kinds)


def objects_of(parts: Parts) -> Array:
    """The array of a form.

    Raises:
        CodecError: there is no such form.
    """
    form = _READ.get(parts[0])
    if form is None:
        raise CodecError(f"an entry holds an unknown column, {parts[0]!r}")
    return form(*parts[1:])


def _typed(values: list[Any], kind: type) -> Parts:
    write = _WRITE.get(kind)
    return (write(values) if write else None) or _mixed(values, {kind})


def _mixed(values: list[Any], kinds: set[type]) -> Parts:
    if memoryview in kinds:
        raise CodecError("a column of memory views cannot be stored")
    if bytearray in kinds:
        values = [Mutable(value) if type(value) is bytearray else value for value in values]
    return ["list", values]


def _sparse(values: list[Any], kind: type) -> Parts:
    """The places of `None`, and the rest with a value of its own in those places."""
    places = [place for place, value in enumerate(values) if value is None]
    some = next(value for value in values if value is not None)
    filled = [some if value is None else value for value in values]
    return ["sparse", parts_of(np.array(places, dtype=np.int64)), _typed(filled, kind)]


def _read_sparse(places: Parts, filled: Parts) -> Array:
    array = objects_of(filled)
    array[array_of(places)] = None
    return array


def _strings(values: list[Any]) -> Parts | None:
    """A dictionary where few are distinct, as a sample says. (`pd.factorize` ends strings at a nul.)"""
    sample = values[:: len(values) // _SAMPLE]
    if len(set(sample)) > FEW * len(sample):
        return None
    words = {word: code for code, word in enumerate(dict.fromkeys(values))}
    codes = map(words.__getitem__, values)
    if len(words) <= _BYTE:
        return ["words", ["raw", "u1", bytes(codes)], list(words)]
    return ["words", parts_of(np.fromiter(codes, dtype=np.int64, count=len(values))), list(words)]


def _read_words(codes: Parts, words: list[str]) -> Array:
    return object_array(words).take(array_of(codes))


def _as(dtype: str, least: int = 0) -> Callable[[list[Any]], Parts | None]:
    """By way of numpy, from `least` values on: fewer of what msgpack knows are quicker as a list."""

    def write(values: list[Any]) -> Parts | None:
        if len(values) < least:
            return None
        try:
            return ["python", parts_of(np.array(values, dtype=dtype))]
        except OverflowError:
            return None

    return write


def _datetimes(values: list[dt.datetime]) -> Parts | None:
    """Only without zones and folds, which numpy does not know."""
    if any(value.tzinfo is not None or value.fold for value in values):
        return None
    return _as("M8[us]")(values)


def _timedeltas(values: list[dt.timedelta]) -> Parts | None:
    """Only within 64 bits of microseconds, beyond which numpy wraps round in silence."""
    if any(abs(value.days) >= 10**8 for value in values):
        return None
    return _as("m8[us]")(values)


def _decimals(values: list[Decimal]) -> Parts:
    texts = list(map(str, values))
    return ["decimal", object_parts(object_array(texts))]


_WRITE: dict[type, Callable[[list[Any]], Parts | None]] = {
    str: lambda values: ["list", values],
    bool: _as("?", SHORT),
    int: _as("i8", SHORT),
    float: _as("f8", SHORT),
    Decimal: _decimals,
    dt.date: _as("M8[D]"),
    dt.datetime: _datetimes,
    dt.timedelta: _timedeltas,
    UUID: lambda values: ["uuid", b"".join(value.bytes for value in values)],
}
_READ: dict[str, Callable[..., Array]] = {
    "list": object_array,
    "sparse": _read_sparse,
    "words": _read_words,
    "python": lambda parts: object_array(array_of(parts).tolist()),
    "decimal": lambda parts: object_array(list(map(Decimal, objects_of(parts)))),
    "uuid": lambda data: object_array([UUID(bytes=data[at : at + 16]) for at in range(0, len(data), 16)]),
}
