"""Values as bytes and back, exactly: the same types, the same dtypes, nothing rounded.

msgpack with extension types for what it has no word for, and DataFrames column by column (see
`frames`). What no rule here holds exactly is pickled, and the codec's name then says so: an entry
is decoded only after its signature has been checked, and one whose name does not allow pickles
decodes none.
"""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pandas as pd
from werkzeug.wrappers import Response

from superset_ext.errors import CodecError

PLAIN, PICKLED = "msgpack1", "msgpack1+pickle"
NAMES = (PLAIN, PICKLED)
# Enums and the like are found again by name, in these packages only.
KNOWN_PACKAGES = frozenset({"superset", "superset_core", "superset_ext", "flask_appbuilder"})

(
    TUPLE, SET, FROZENSET, INT, DECIMAL, DATETIME, DATE, TIME, DELTA, ENUM, TABLE, SCALAR, ARRAY, TIMESTAMP,
    TIMEDELTA, NAT, NA, FRAME, UUID_, PICKLE, ZONED,
) = range(1, 22)  # fmt: skip


class TruthyList(list[Any]):
    """A list that is true though it is empty.

    Superset takes an entry with filters and an empty `applied_filter_columns` for one of an older version, and
    runs the query again at every view. A chart whose filters were all rejected has no others to show.
    """

    def __bool__(self) -> bool:
        return True


def encode(value: Any) -> tuple[str, bytes]:
    """The name of the codec and the bytes of `value`.

    Raises:
        CodecError: the value must not or cannot be stored.
    """
    writer = Writer()
    try:
        data = writer.pack(value)
        return PICKLED if writer.pickled else PLAIN, data
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"a {type(value).__name__} cannot be stored ({type(error).__name__})") from error


def decode(name: str, data: bytes | memoryview) -> Any:
    """The value of bytes whose signature has been checked.

    Raises:
        CodecError: they do not decode.
    """
    try:
        value = Reader(pickles=name == PICKLED).unpack(data)
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"an entry does not decode ({type(error).__name__})") from error
    if type(value) is dict and value.get("applied_filter_columns") == [] and "df" in value:
        value["applied_filter_columns"] = TruthyList()
    return value


class Writer:
    """Packs one value; `pickled` says afterwards whether anything had to be pickled."""

    def __init__(self) -> None:
        self.pickled = False

    def pack(self, value: Any) -> bytes:
        """The bytes of a value, of any depth."""
        # A Packer cannot be used again from within its own hook, so each level has its own.
        packer = msgpack.Packer(default=self._extend, strict_types=True, unicode_errors="surrogatepass")
        return packer.pack(value)  # type: ignore[no-any-return]

    def _extend(self, value: Any) -> msgpack.ExtType | list[Any]:
        kind = type(value)
        rule = _WRITE.get(kind)
        if rule is not None:
            code, parts = rule
            return msgpack.ExtType(code, self.pack(parts(value)))
        return self._by_family(value, kind)

    def _by_family(self, value: Any, kind: type) -> msgpack.ExtType | list[Any]:
        if kind is TruthyList:
            return list(value)
        if kind is pd.DataFrame:
            from superset_ext.cache import frames

            return msgpack.ExtType(FRAME, frames.write(value, self))
        if isinstance(value, Enum) and _known(kind) and kind.__qualname__.isidentifier():
            return msgpack.ExtType(ENUM, self.pack([kind.__module__, kind.__qualname__, value.name]))
        if isinstance(value, np.generic) and value.dtype.kind in "biufcmM":
            return msgpack.ExtType(SCALAR, self.pack([value.dtype.str, value.tobytes()]))
        if kind is np.ndarray and value.dtype.kind in "biufcmM":
            return msgpack.ExtType(ARRAY, self.pack([value.dtype.str, list(value.shape), value.tobytes()]))
        if (kind.__module__, kind.__name__) == ("superset.sql.parse", "Table"):
            return msgpack.ExtType(TABLE, self.pack([value.table, value.schema, value.catalog]))
        if isinstance(value, Response):
            raise CodecError("a Response carries one user's headers and is never stored")
        return self.pickle(value)

    def pickle(self, value: Any) -> msgpack.ExtType:
        """The last resort."""
        self.pickled = True
        return msgpack.ExtType(PICKLE, pickle.dumps(value, protocol=5))


class Reader:
    """Unpacks one value; pickles only where the codec's name says that there are some."""

    def __init__(self, *, pickles: bool) -> None:
        self._pickles = pickles

    def unpack(self, data: bytes | memoryview) -> Any:
        """The value of some bytes."""
        return msgpack.unpackb(
            data, ext_hook=self._restore, strict_map_key=False, unicode_errors="surrogatepass", use_list=True
        )

    def _restore(self, code: int, data: bytes) -> Any:
        if code == FRAME:
            from superset_ext.cache import frames

            return frames.read(data, self)
        if code == PICKLE:
            return self._unpickle(data)
        rule = _READ.get(code)
        if rule is None:
            raise CodecError(f"an entry holds an unknown type, {code}")
        return rule(self.unpack(data))

    def _unpickle(self, data: bytes) -> Any:
        if not self._pickles:
            raise CodecError("an entry holds a pickle that its codec does not allow")
        return pickle.loads(data)  # noqa: S301 - signed by us, and the signature has been checked


def _known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in KNOWN_PACKAGES


def _enum(parts: list[str]) -> Any:
    module, name, member = parts
    if module.partition(".")[0] not in KNOWN_PACKAGES:
        raise CodecError(f"an entry names an enum of {module}")
    return getattr(import_module(module), name)[member]


def _table(parts: list[Any]) -> Any:
    from superset.sql.parse import Table

    return Table(*parts)


def _zone_name(zone: dt.tzinfo | None) -> str | None:
    """A name by which the very same kind of zone is found again, if there is one."""
    if zone is dt.UTC:
        return "utc"
    if isinstance(zone, ZoneInfo) and zone.key:
        return f"zoneinfo:{zone.key}"
    return None


def zone(name: str) -> dt.tzinfo:
    """The zone of a name that `_zone_name` made."""
    return dt.UTC if name == "utc" else ZoneInfo(name.removeprefix("zoneinfo:"))


def _datetime_parts(value: dt.datetime) -> list[Any]:
    naive = value.replace(tzinfo=None, fold=0)
    days = naive.toordinal()
    micros = ((naive.hour * 60 + naive.minute) * 60 + naive.second) * 1_000_000 + naive.microsecond
    if value.tzinfo is None:
        return [days, micros, value.fold]
    return [days, micros, value.fold, _zone_name(value.tzinfo) or value.tzinfo]


def _datetime(parts: list[Any]) -> dt.datetime:
    days, micros, fold, *where = parts
    value = dt.datetime.fromordinal(days) + dt.timedelta(microseconds=micros)
    tzinfo = (zone(where[0]) if isinstance(where[0], str) else where[0]) if where else None
    return value.replace(tzinfo=tzinfo, fold=fold)


def _time_parts(value: dt.time) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo]


def _time(parts: list[Any]) -> dt.time:
    hour, minute, second, micro, fold, tzinfo = parts
    return dt.time(hour, minute, second, micro, tzinfo, fold=fold)


def _timestamp_parts(value: pd.Timestamp) -> list[Any]:
    return [value.value if value.unit == "ns" else int(value.asm8.view("i8")), value.unit, value.tzinfo, value.fold]


def _timestamp(parts: list[Any]) -> pd.Timestamp:
    number, unit, tzinfo, fold = parts
    naive = pd.Timestamp(np.datetime64(number, unit))
    return naive if tzinfo is None else naive.tz_localize("UTC").tz_convert(tzinfo).replace(fold=fold)


_WRITE: dict[type, tuple[int, Callable[[Any], Any]]] = {
    tuple: (TUPLE, list),
    set: (SET, list),
    frozenset: (FROZENSET, list),
    int: (INT, str),
    Decimal: (DECIMAL, str),
    dt.datetime: (DATETIME, _datetime_parts),
    dt.date: (DATE, dt.date.toordinal),
    dt.time: (TIME, _time_parts),
    dt.timedelta: (DELTA, lambda v: [v.days, v.seconds, v.microseconds]),
    dt.timezone: (ZONED, lambda v: _zone_name(v) or [v.utcoffset(None), *v.__reduce__()[1][1:]]),
    ZoneInfo: (ZONED, _zone_name),
    pd.Timestamp: (TIMESTAMP, _timestamp_parts),
    pd.Timedelta: (TIMEDELTA, lambda v: [int(v.asm8.view("i8")), v.unit]),
    type(pd.NaT): (NAT, lambda _: None),
    type(pd.NA): (NA, lambda _: None),
    UUID: (UUID_, lambda v: v.bytes),
}
_READ: dict[int, Callable[[Any], Any]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    INT: int,
    DECIMAL: Decimal,
    DATETIME: _datetime,
    DATE: dt.date.fromordinal,
    TIME: _time,
    DELTA: lambda v: dt.timedelta(*v),
    ZONED: lambda v: zone(v) if isinstance(v, str) else dt.timezone(*v),
    ENUM: _enum,
    TABLE: _table,
    SCALAR: lambda v: np.frombuffer(v[1], dtype=v[0])[0],
    ARRAY: lambda v: np.frombuffer(v[2], dtype=v[0]).reshape(v[1]).copy(),
    TIMESTAMP: _timestamp,
    TIMEDELTA: lambda v: pd.Timedelta(np.timedelta64(v[0], v[1])),
    NAT: lambda _: pd.NaT,
    NA: lambda _: pd.NA,
    UUID_: lambda v: UUID(bytes=v),
}
