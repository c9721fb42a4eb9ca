"""Values as bytes and back, exactly: the same types, the same dtypes, nothing rounded.

msgpack, with extension types for the values that it has no word for (`scalars`) and for DataFrames,
which go column by column (`dataframes`). What no rule holds exactly is pickled, and the codec's name
then says so: an entry is decoded only after its signature has been checked, and one whose name
does not allow pickles decodes none.

Not kept: that two places hold the same object, and that a `bytearray` outside of a column is none
of `bytes`.
"""

from __future__ import annotations

import io
import pickle
import threading
from typing import Any

import msgpack
import pandas as pd
from werkzeug.wrappers import Response

from superset_ext.cache.codec import dataframes
from superset_ext.cache.codec.scalars import FRAME, PICKLE, restore, rule_of
from superset_ext.errors import CodecError

PLAIN, PICKLED = "msgpack1", "msgpack1+pickle"
NAMES = (PLAIN, PICKLED)
_SWOLLEN = 1 << 20  # bytes
_IDLE = 4  # packers kept by a thread
_LOCAL = threading.local()


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
    try:
        try:
            return _encode(value, None)
        except UnicodeEncodeError:  # a lone surrogate; msgpack is twice as quick where it need not look for them
            return _encode(value, "surrogatepass")
    except CodecError:
        raise
    except Exception as error:  # msgpack, pickle and the reducers of foreign classes raise what they like
        raise CodecError(f"a {type(value).__name__} cannot be stored ({type(error).__name__})") from error


def _encode(value: Any, surrogates: str | None) -> tuple[str, bytes]:
    writers: dict[str | None, _Writer] = _LOCAL.__dict__.setdefault("writers", {})
    writer = writers.get(surrogates) or writers.setdefault(surrogates, _Writer(surrogates))
    writer.pickled = False
    data = writer.pack(value)
    return (PICKLED if writer.pickled else PLAIN), data


def decode(name: str, data: bytes | memoryview) -> Any:
    """The value of bytes whose signature has been checked.

    Raises:
        CodecError: they do not decode.
    """
    try:
        value = _Reader(pickles=name == PICKLED).unpack(data)
    except CodecError:
        raise
    except Exception as error:  # as above; whatever it is, the entry is a miss
        raise CodecError(f"an entry does not decode ({type(error).__name__})") from error
    if type(value) is dict and value.get("applied_filter_columns") == [] and "df" in value:
        value["applied_filter_columns"] = TruthyList()
    return value


class _Writer:
    """Packs values one after the other; `pickled` says whether anything had to be pickled since it was set."""

    def __init__(self, surrogates: str | None) -> None:
        self.pickled = False
        self._surrogates = surrogates
        self._idle: list[Any] = []

    def pack(self, value: Any) -> bytes:
        """The bytes of a value, of any depth."""
        # A Packer cannot be used again from within its own hook, so each level has its own. They are kept, but
        # not those that a large value has swollen: each begins with 1 MB, and the system takes its time over that.
        packer = self._idle.pop() if self._idle else self._packer()
        data: bytes = packer.pack(value)
        if len(data) < _SWOLLEN and len(self._idle) < _IDLE:
            self._idle.append(packer)
        return data

    def _packer(self) -> Any:
        return msgpack.Packer(default=self._extend, strict_types=True, unicode_errors=self._surrogates)

    def _extend(self, value: Any) -> msgpack.ExtType | list[Any]:
        kind = type(value)
        if kind is TruthyList:
            return list(value)
        if kind is pd.DataFrame and value.flags.allows_duplicate_labels:
            return msgpack.ExtType(FRAME, self.pack(dataframes.parts_of(value)))
        rule = rule_of(value)
        if rule is not None:
            return msgpack.ExtType(rule[0], self.pack(rule[1]))
        self.pickled = True
        return msgpack.ExtType(PICKLE, _pickle(value))


class _Reader:
    """Unpacks one value; pickles only where the codec's name says that there are some."""

    def __init__(self, *, pickles: bool) -> None:
        self._pickles = pickles

    def unpack(self, data: bytes | memoryview) -> Any:
        """The value of some bytes."""
        return msgpack.unpackb(data, ext_hook=self._restore, strict_map_key=False, unicode_errors="surrogatepass")

    def _restore(self, code: int, data: bytes) -> Any:
        if code == FRAME:
            return dataframes.frame_of(self.unpack(data))
        if code == PICKLE:
            return self._unpickle(data)
        return restore(code, self.unpack(data))

    def _unpickle(self, data: bytes) -> Any:
        if not self._pickles:
            raise CodecError("an entry holds a pickle that its codec does not allow")
        return pickle.loads(data)  # noqa: S301 - signed by us, and the signature has been checked


class _Pickler(pickle.Pickler):
    """Pickles anything but a `Response`, however deep in an object that is."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Response):
            raise CodecError("a Response carries one user's headers and is never stored")
        return NotImplemented


def _pickle(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=5).dump(value)
    return stream.getvalue()
