"""The rules for single values that msgpack has no word for: each type as plain parts, and back.

A rule holds for exactly one class, never for its subclasses: those would come back as their base.
Parts may hold anything that the codec packs, other types of this table included.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from importlib import import_module
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytz  # type: ignore[import-untyped]

from superset_ext.errors import CodecError

# Enums are found again by name, in these packages only.
KNOWN_PACKAGES = frozenset({"superset", "superset_core", "superset_ext", "flask_appbuilder"})
PLAIN_KINDS = "biufcmMSU"  # of numpy: what is its own bytes

(
    TUPLE, SET, FROZENSET, INT, DECIMAL, DATETIME, DATE, TIME, DELTA, ENUM, TABLE, SCALAR, ARRAY, TIMESTAMP,
    TIMEDELTA, NAT, NA, FRAME, UUID_, PICKLE, ZONE, ZONEINFO, PYTZ, INTERVAL, PERIOD,
    MUTABLE, TEXT, OCTETS,
) = range(1, 29)  # fmt: skip

Rule = tuple[int, Any]


class Mutable(bytes):
    """Stands for a `bytearray`, which msgpack would take for `bytes`."""


def rule_of(value: Any) -> Rule | None:
    """The code and the parts of a value, or `None` where no rule holds it exactly."""
    kind = type(value)
    if kind in _WRITE:
        code, parts = _WRITE[kind]
        return code, parts(value)
    if isinstance(value, Enum):
        return _enum_rule(value, kind)
    if kind is np.ndarray:
        return (ARRAY, _array_parts(value)) if value.dtype.kind in PLAIN_KINDS + "O" else None
    if isinstance(value, np.generic):
        return (SCALAR, [value.dtype.str, value.tobytes()]) if value.dtype.kind in PLAIN_KINDS else None
    if isinstance(value, pytz.tzinfo.BaseTzInfo) and value is not pytz.utc:
        return PYTZ, list(value.__reduce__()[1])
    if (kind.__module__, kind.__name__) == ("superset.sql.parse", "Table"):
        return TABLE, [value.table, value.schema, value.catalog]
    return None


def restore(code: int, parts: Any) -> Any:
    """The value of a code and its parts.

    Raises:
        CodecError: no rule has this code.
    """
    rule = _READ.get(code)
    if rule is None:
        raise CodecError(f"an entry holds an unknown type, {code}")
    return rule(parts)


def objects(values: list[Any]) -> np.ndarray[Any, Any]:
    """An object array of exactly these values; from a list of lists `np.array` would make a table."""
    return np.fromiter(values, dtype=object, count=len(values))


def _enum_rule(value: Enum, kind: type[Enum]) -> Rule | None:
    """By name, where that leads back to this very member: not for local classes, nor for combined flags."""
    parts = [kind.__module__, kind.__qualname__, value.name]
    try:
        return (ENUM, parts) if _enum(parts) is value else None
    except (CodecError, ImportError, AttributeError, KeyError):
        return None


def _enum(parts: list[str]) -> Any:
    module, name, member = parts
    if module.partition(".")[0] not in KNOWN_PACKAGES:
        raise CodecError(f"an entry names an enum of {module}")
    kind = attrgetter(name)(import_module(module))
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        raise CodecError(f"an entry names {module}.{name}, which is no enum")
    return kind[member]


def _table(parts: list[Any]) -> Any:
    from superset.sql.parse import Table  # only where Superset is loaded anyway

    return Table(*parts)


def _datetime_parts(value: dt.datetime) -> list[Any]:
    clock = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return [value.toordinal(), clock, value.fold, value.tzinfo]


def _datetime(parts: list[Any]) -> dt.datetime:
    days, clock, fold, zone = parts
    value = dt.datetime.fromordinal(days) + dt.timedelta(microseconds=clock)
    return value.replace(tzinfo=zone, fold=fold) if zone or fold else value


def _time_parts(value: dt.time) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo]


def _time(parts: list[Any]) -> dt.time:
    hour, minute, second, micro, fold, zone = parts
    return dt.time(hour, minute, second, micro, zone, fold=fold)


def _timestamp_parts(value: pd.Timestamp) -> list[Any]:
    return [int(value.asm8.view("i8")), value.unit, value.tzinfo, value.fold]


def _timestamp(parts: list[Any]) -> pd.Timestamp:
    number, unit, zone, fold = parts
    value = pd.Timestamp(np.datetime64(number, unit))
    if zone is not None:
        return value.tz_localize("UTC").tz_convert(zone)  # which knows the fold
    return value.replace(fold=fold) if fold else value


def _zone_parts(value: dt.timezone) -> list[Any]:
    return list(value.__getinitargs__())  # type: ignore[attr-defined]  # the name, only where one was given


def _zoneinfo_parts(value: ZoneInfo) -> str:
    if not value.key:
        raise CodecError("a time zone read from a file without a name cannot be stored")
    return value.key


def _array_parts(value: np.ndarray[Any, Any]) -> list[Any]:
    plain = value.dtype.kind in PLAIN_KINDS
    return [value.dtype.str, list(value.shape), value.tobytes() if plain else value.ravel().tolist()]


def _array(parts: list[Any]) -> np.ndarray[Any, Any]:
    dtype, shape, data = parts
    flat = np.frombuffer(data, dtype).copy() if isinstance(data, bytes) else objects(data)
    return flat.reshape(shape)


_WRITE: dict[type, tuple[int, Callable[[Any], Any]]] = {
    tuple: (TUPLE, list),
    set: (SET, list),
    frozenset: (FROZENSET, list),
    int: (INT, hex),  # of more than 64 bits; decimal digits are capped by the interpreter
    Decimal: (DECIMAL, str),
    dt.datetime: (DATETIME, _datetime_parts),
    dt.date: (DATE, dt.date.toordinal),
    dt.time: (TIME, _time_parts),
    dt.timedelta: (DELTA, lambda v: [v.days, v.seconds, v.microseconds]),
    dt.timezone: (ZONE, _zone_parts),
    ZoneInfo: (ZONEINFO, _zoneinfo_parts),
    type(pytz.utc): (PYTZ, lambda _: []),
    pd.Timestamp: (TIMESTAMP, _timestamp_parts),
    pd.Timedelta: (TIMEDELTA, lambda v: [int(v.asm8.view("i8")), v.unit]),
    pd.Interval: (INTERVAL, lambda v: [v.left, v.right, v.closed]),
    pd.Period: (PERIOD, lambda v: [v.ordinal, v.freqstr]),
    type(pd.NaT): (NAT, lambda _: None),
    type(pd.NA): (NA, lambda _: None),
    UUID: (UUID_, lambda v: v.bytes),
    np.str_: (TEXT, str),
    np.bytes_: (OCTETS, bytes),
    Mutable: (MUTABLE, bytes),
}
_READ: dict[int, Callable[[Any], Any]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    INT: lambda v: int(v, 16),
    DECIMAL: Decimal,
    DATETIME: _datetime,
    DATE: dt.date.fromordinal,
    TIME: _time,
    DELTA: lambda v: dt.timedelta(*v),
    ZONE: lambda v: dt.timezone(*v),
    ZONEINFO: ZoneInfo,
    PYTZ: lambda v: pytz.unpickler(*v) if v else pytz.utc,
    ENUM: _enum,
    TABLE: _table,
    SCALAR: lambda v: np.frombuffer(v[1], v[0])[0],
    ARRAY: _array,
    TIMESTAMP: _timestamp,
    TIMEDELTA: lambda v: pd.Timedelta(np.timedelta64(v[0], v[1])),
    INTERVAL: lambda v: pd.Interval(*v),
    PERIOD: lambda v: pd.Period(ordinal=v[0], freq=v[1]),
    NAT: lambda _: pd.NaT,
    NA: lambda _: pd.NA,
    UUID_: lambda v: UUID(bytes=v),
    TEXT: np.str_,
    OCTETS: np.bytes_,
    MUTABLE: bytearray,
}
