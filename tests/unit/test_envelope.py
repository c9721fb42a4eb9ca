"""Entries: what they carry, and that nothing but what a holder of the key wrote is ever decoded."""

from __future__ import annotations

import ast
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from superset_ext.cache import envelope
from superset_ext.cache.codec import values as codec
from superset_ext.cache.envelope import Envelope, pack, signature, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.errors import BadSignature, CodecError, EnvelopeError, SettingsError
from testing.same import assert_same

PACKAGE = Path(envelope.__file__).resolve().parents[1]
RING = KeyRing("a secret")
MEGA = 1 << 20
VALUE = {
    "df": pd.DataFrame({"a": np.arange(50), "b": ["x", None] * 25}),
    "query": "SELECT 1",
    "applied_filter_columns": ["a"],
}


def packed(value: Any = VALUE, **changed: Any) -> bytes:
    fields: dict[str, Any] = {
        "key": "k", "ring": RING, "as_of_us": 5, "tags": ("db:1", "tä"), "cost_ms": 1.5, "run_id": "run",
        "stored_at_us": 7, "fresh_until_us": 9, "last_stamp": 11, "compression": "zstd", "level": 1, "min_size": 64,
    } | changed  # fmt: skip
    return pack(value, **fields)


def read(data: bytes, key: str = "k", ring: KeyRing = RING, limit: int = MEGA) -> tuple[Envelope, Any]:
    return unpack(data, key=key, ring=ring, max_decoded=limit)


def signed(header: dict[str, Any], payload: bytes, version: int = 3, key: bytes = b"k", ring: KeyRing = RING) -> bytes:
    """An entry made by hand after the layout in the module's docstring."""
    block = msgpack.packb(header)
    head = b"SXC" + bytes([version]) + struct.pack(">HH", len(block), 0) + os.urandom(16)
    judged = struct.pack(">QQ8sQ", 5, 11, b"run", 9)
    return (
        head
        + signature(ring.keys[0], struct.pack(">I", len(key)) + key, head, judged, block, payload)
        + judged
        + block
        + payload
    )


HEADER = {"cost": 0.0, "codec": codec.PICKLED, "comp": "none", "raw": 5, "run": "", "at": 0}


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
@pytest.mark.parametrize("tags", [(), ("one",), ("db:1", "table ä", "x" * 1000)])
def test_an_entry_carries_all_that_it_was_given(compression: str, tags: tuple[str, ...]) -> None:
    """The value, and whatever the reader judges it by."""
    envelope, value = read(packed(compression=compression, tags=tags))
    assert_same(value, VALUE)
    times = (envelope.as_of_us, envelope.stored_at_us, envelope.fresh_until_us, envelope.last_stamp)
    assert (times, envelope.tags, envelope.cost_ms, envelope.run_id) == ((5, 7, 9, 11), tags, 1.5, "run")
    assert (envelope.codec, envelope.compression, len(envelope.entry_id)) == (codec.PLAIN, compression, 16)
    assert envelope.raw_size == len(codec.encode(VALUE)[1])


def test_the_fixed_part_can_be_read_without_unpacking() -> None:
    """Lua reads the entry's id, the size of the tags, and the tags, at these very places."""
    data = packed(tags=("one", "two"))
    envelope, _ = read(data)
    assert data[:4] == b"SXC\x03" and data[8:24] == envelope.entry_id
    size = struct.unpack(">H", data[6:8])[0]
    assert data[88 : 88 + size].decode().split("\n") == ["one", "two"]
    assert packed()[8:24] != packed()[8:24]


def test_compression_is_used_where_it_pays() -> None:
    """Not below the least size, not for noise, and a large text shrinks."""
    assert read(packed("x" * 60))[0].compression == "none"
    assert read(packed(os.urandom(5000)))[0].compression == "none"
    assert len(packed("x" * 5000)) < 500


def test_any_flipped_byte_is_refused() -> None:
    """No bit of an entry can be changed: not the tags, not the times, not a number of the payload."""
    for compression in ("zstd", "none"):
        data = packed(compression=compression)
        for place in range(len(data)):
            for mask in (1, 0x80, 0xFF):
                broken = bytearray(data)
                broken[place] ^= mask
                with pytest.raises(EnvelopeError):
                    read(bytes(broken))


def test_entries_cut_anywhere_or_lengthened_are_refused() -> None:
    """Redis may hand out half an entry after a crash, or another writer may add to one."""
    data = packed()
    for length in range(len(data)):
        with pytest.raises(EnvelopeError):
            read(data[:length])
    with pytest.raises(BadSignature):
        read(data + b"\0")


def test_an_entry_under_another_key_is_refused() -> None:
    """Whoever can copy keys in Redis cannot show one user's answer to another; nor can key and text trade places."""
    with pytest.raises(BadSignature):
        read(packed(), key="other")
    with pytest.raises(BadSignature):
        read(packed(key="key"), key="ke")
    assert read(packed(key="\ud800"), key="\ud800")


def test_another_secret_is_refused_and_an_earlier_one_accepted() -> None:
    """Rotation: the new key signs, the old one still verifies as long as it is listed."""
    old, new = KeyRing("old"), KeyRing(b"new", ["older", "old"])
    assert_same(read(packed(ring=old), ring=new)[1], VALUE)
    with pytest.raises(BadSignature):
        read(packed(ring=new), ring=old)
    with pytest.raises(BadSignature):
        read(packed(ring=old), ring=KeyRing("new"))


def test_a_secret_that_everybody_knows_is_never_an_earlier_one() -> None:
    """Who moved away from Superset's default key must not go on trusting entries that anybody can sign."""
    public = "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET"
    with pytest.raises(BadSignature):
        read(packed(ring=KeyRing(public)), ring=KeyRing("new", [public]))
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        KeyRing("")


def test_an_unsigned_pickle_does_not_run(tmp_path: Path) -> None:
    """The attack that signing is for, as a bare pickle, and as an entry signed with a guessed key."""
    pickled = pickle.dumps(Bomb(tmp_path / "executed"))
    payload = msgpack.packb(msgpack.ExtType(20, pickled))
    for data in (pickled, b"!" + pickled, payload, signed(HEADER, payload, ring=KeyRing("guess"))):
        with pytest.raises(EnvelopeError):
            read(data)
    assert not (tmp_path / "executed").exists()


def test_the_attack_works_with_the_right_key(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    read(signed(HEADER, msgpack.packb(msgpack.ExtType(20, pickle.dumps(Bomb(tmp_path / "executed"))))))
    assert (tmp_path / "executed").exists()


def test_a_pickle_under_a_plain_name_does_not_run(tmp_path: Path) -> None:
    """A codec's name says all that a reader has to be ready for."""
    payload = msgpack.packb(msgpack.ExtType(20, pickle.dumps(Bomb(tmp_path / "executed"))))
    with pytest.raises(CodecError):
        read(signed(HEADER | {"codec": codec.PLAIN}, payload))
    assert not (tmp_path / "executed").exists()


def test_nothing_grows_beyond_the_limit() -> None:
    """A zip bomb is refused by its header, and one whose header lies by the decompressor."""
    bomb = pa.Codec("zstd").compress(bytes(64 * MEGA), asbytes=True)
    with pytest.raises(EnvelopeError, match="limit"):
        read(signed(HEADER | {"comp": "zstd", "raw": 64 * MEGA}, bomb))
    with pytest.raises(EnvelopeError):
        read(signed(HEADER | {"comp": "zstd", "raw": 100}, bomb))
    with pytest.raises(EnvelopeError, match="limit"):
        read(packed("x" * 5000), limit=1000)


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ({}, 4),
        ({"codec": "msgpack9"}, 3),
        ({"comp": "brotli"}, 3),
        ({"comp": "zstd"}, 3),
        ({"comp": "lz4"}, 3),
        ({"comp": "zstd", "raw": -1}, 3),
        ({"raw": None}, 3),
        ({"codec": ["list"]}, 3),
    ],
)
def test_an_unknown_format_is_a_miss_and_no_attack(header: dict[str, Any], version: int) -> None:
    """Entries of a later release, met after a step back, raise no alarm."""
    with pytest.raises(EnvelopeError) as caught:
        read(signed(HEADER | header, b"\xc1junk", version))
    assert not isinstance(caught.value, BadSignature)


def test_a_later_header_may_say_more_and_an_earlier_one_less() -> None:
    """Fields can be added without a new version; a missing one is an unreadable header."""
    assert read(signed(HEADER | {"codec": codec.PLAIN, "new": 1}, b"\x01"))[1] == 1
    for broken in ({"cost": 1}, [], 5):
        with pytest.raises(EnvelopeError):
            read(signed(broken, b"\x01"))  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\xc7\x00\x7f", b"\xd4\x63\x01"])
def test_payloads_that_do_not_decode_are_codec_errors(payload: bytes) -> None:
    """Whatever a decoder of a payload trips over, callers see one kind of error."""
    with pytest.raises(CodecError):
        read(signed(HEADER, payload))


@pytest.mark.parametrize("tags", [["a\nb"], [""], ["a", ""], ["\ud800"], ["x" * 70_000]])
def test_tags_that_would_be_read_as_others_are_refused(tags: list[str]) -> None:
    """A tag that the reader splits, or loses, could never be stamped."""
    with pytest.raises(CodecError, match="tag"):
        packed(tags=tags)


UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}


def test_pickles_are_loaded_in_exactly_one_place() -> None:
    """One call to review, and `envelope.unpack` alone leads there, after it has checked the signature."""
    importers, loads, decodes = set(), [], set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom) and UNPICKLERS & _modules(node):
                importers.add(path.name)
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            loads += [path.name] * (name in ("pickle.loads", "pickle.load", "pickle.Unpickler", "pd.read_pickle"))
            decodes |= {path.name} if name == "codec.decode" else set()
    assert (importers, loads, decodes) == ({"values.py"}, ["values.py"], {"envelope.py"})


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.partition(".")[0] for name in names}
