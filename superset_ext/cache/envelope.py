"""The entry as it lies in Redis: what is needed to judge it, its signature, and the payload.

Layout, version 3 (`lua/read.lua` and `lua/fill.lua` read the first 88 bytes and the tags, without unpacking):

    0      4   magic "SXC" and the version
    4      2   length of the msgpack header, big-endian
    6      2   length of the tag block, big-endian
    8      16  entry id, random
    24     32  HMAC-SHA256 over the length of the cache key, the cache key, and all but these 32 bytes
    56     8   when the read that led to it began, microseconds of the server's time, big-endian
    64     8   the last stamp at that time, big-endian
    72     8   the run of that server and the era of its stamps, hashed
    80     8   until when it is fresh, microseconds of the server's time, big-endian, 0 for ever
    88     …   tags, utf-8, joined by newlines
    …      …   msgpack header
    …      …   payload

The signature covers the cache key, so an entry copied under another key is refused, and it is
checked before anything is decompressed or decoded.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import msgpack
import pyarrow as pa

from superset_ext.cache.codec import values as codec
from superset_ext.cache.keyring import KeyRing
from superset_ext.errors import BadSignature, CodecError, EnvelopeError

MAGIC = b"SXC"
VERSION = 3
_FIXED = struct.Struct(">3sBHH16s32sQQ8sQ")
_TIMES = struct.Struct(">QQ8sQ")
_MAC_AT, _MAC_END = 24, 56
TAGS_AT = _FIXED.size
MAX_BLOCK = 0xFFFF


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an entry says of itself.

    Attributes:
        entry_id: 16 random bytes.
        as_of_us: server time in microseconds when the read that led to it began; 0 where that is not known.
        tags: what it was made from.
        cost_ms: milliseconds that it took to make.
        codec: how the payload is encoded.
        compression: `zstd`, `lz4` or `none`.
        raw_size: bytes of the payload before compression.
        run_id: the run of the server that it was written to, and the era of its stamps.
        stored_at_us: server time in microseconds when it was written, as far as the writer knew it.
        fresh_until_us: server time in microseconds until when it may be used, 0 for ever; what lives longer may
            still be used while somebody refreshes it.
        last_stamp: the last stamp that the region had given when the read began; 0 where that is not known.
    """

    entry_id: bytes
    as_of_us: int
    tags: tuple[str, ...]
    cost_ms: float
    codec: str
    compression: str
    raw_size: int
    run_id: str
    stored_at_us: int
    fresh_until_us: int = 0
    last_stamp: int = 0


def pack(
    value: Any,
    *,
    key: str,
    ring: KeyRing,
    as_of_us: int,
    tags: Sequence[str],
    cost_ms: float,
    run_id: str,
    stored_at_us: int,
    fresh_until_us: int,
    compression: str,
    level: int,
    min_size: int,
    last_stamp: int = 0,
) -> bytes:
    """The signed entry of `value` under the cache key `key`.

    Raises:
        CodecError: the value cannot be stored, or its tags cannot be written as lines or take more than 64 KB.
    """
    name, raw = codec.encode(value)
    used, payload = _compress(raw, compression, level, min_size)
    header = msgpack.packb(
        {
            "cost": cost_ms, "codec": name, "comp": used, "raw": len(raw), "run": run_id, "at": stored_at_us,
        }
    )  # fmt: skip
    block = _lines(tags)
    times = (as_of_us, last_stamp, short(run_id), fresh_until_us)
    fixed = _FIXED.pack(MAGIC, VERSION, len(header), len(block), os.urandom(16), b"", *times)
    head, judged = fixed[:_MAC_AT], fixed[_MAC_END:]
    mac = signature(ring.keys[0], _named(key), head, judged, block, header, payload)
    return b"".join((head, mac, judged, block, header, payload))


def unpack(data: bytes, *, key: str, ring: KeyRing, max_decoded: int) -> tuple[Envelope, Any]:
    """The envelope and the value of an entry.

    Args:
        max_decoded: bytes that the payload may have once it is decompressed.

    Raises:
        BadSignature: it was not written under this cache key by a holder of the secret key.
        EnvelopeError: it is cut short, or of another version or codec.
        CodecError: its payload does not decode.
    """
    tags_at, header_at, payload_at = _measure(data)
    view = memoryview(data)
    mac, signed = data[_MAC_AT:_MAC_END], (_named(key), view[:_MAC_AT], view[_MAC_END:])
    if not _is_signed(mac, ring, signed):
        raise BadSignature("an entry's signature is not of this secret key and this cache key")
    envelope = _envelope(data, data[tags_at:header_at], data[header_at:payload_at])
    if envelope.codec not in codec.NAMES:
        raise EnvelopeError(f"an entry's codec {envelope.codec!r} is not known here")
    return envelope, codec.decode(envelope.codec, _decompress(envelope, view[payload_at:], max_decoded))


def signature(key: bytes, *parts: bytes | memoryview) -> bytes:
    """The HMAC-SHA256, 32 bytes, of `parts` one after the other."""
    mac = hmac.new(key, digestmod=sha256)
    for part in parts:
        mac.update(part)
    return mac.digest()


def _is_signed(mac: bytes, ring: KeyRing, parts: Sequence[bytes | memoryview]) -> bool:
    """Whether one of the keys made `mac`; takes the same time wherever they differ."""
    return any(hmac.compare_digest(mac, signature(key, *parts)) for key in ring.keys)


def _lines(tags: Sequence[str]) -> bytes:
    try:
        block = "\n".join(tags).encode()
    except UnicodeEncodeError as error:
        raise CodecError("a tag is no text; encode it") from error
    if len(block) > MAX_BLOCK:
        raise CodecError(f"{len(tags)} tags take more than 64 KB; use the database's tag")
    if block.count(b"\n") != max(0, len(tags) - 1) or not all(tags):
        raise CodecError("a tag is empty or has a line break; encode it")
    return block


def times(data: bytes) -> tuple[int, bytes, int]:
    """Last stamp, hashed run and `fresh_until_us` in an entry's first bytes, unverified; 0, b"" and 1 without those.

    Unverified, they only say what is worth warming.
    """
    if len(data) < TAGS_AT or data[:4] != MAGIC + bytes([VERSION]):
        return 0, b"", 1
    _, last_stamp, run, fresh_until_us = _TIMES.unpack_from(data, _MAC_END)
    return last_stamp, run, fresh_until_us


def tags_of(data: bytes) -> list[bytes]:
    """The tags in an entry's bytes, unverified: they only say which stamps to ask for."""
    if len(data) < TAGS_AT:
        return []
    block = data[TAGS_AT : TAGS_AT + int.from_bytes(data[6:8], "big")]
    return block.split(b"\n") if block else []


def short(run_id: str) -> bytes:
    """What stands for a run in an entry's first bytes."""
    return blake2b(run_id.encode(), digest_size=8).digest()


def _named(key: str) -> bytes:
    name = key.encode(errors="surrogatepass")
    return len(name).to_bytes(4, "big") + name


def _measure(data: bytes) -> tuple[int, int, int]:
    """Where the tags, the header and the payload begin."""
    if len(data) < TAGS_AT:
        raise EnvelopeError("an entry is cut short")
    magic, version, header, block, *_ = _FIXED.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise EnvelopeError("an entry is of a format that this version does not read")
    if len(data) < TAGS_AT + block + header:
        raise EnvelopeError("an entry is cut short")
    return TAGS_AT, TAGS_AT + block, TAGS_AT + block + header


def _envelope(data: bytes, block: bytes, header: bytes) -> Envelope:
    try:
        fields = msgpack.unpackb(header)
        as_of_us, last_stamp, _, fresh_until_us = _TIMES.unpack_from(data, _MAC_END)
        return Envelope(
            data[8:24], as_of_us, tuple(block.decode().split("\n")) if block else (), fields["cost"], fields["codec"],
            fields["comp"], int(fields["raw"]), fields["run"], int(fields["at"]), fresh_until_us,
            last_stamp,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise EnvelopeError("an entry's header does not read") from error


def _compress(raw: bytes, compression: str, level: int, min_size: int) -> tuple[str, bytes]:
    """Compressed where it pays: not under `min_size` bytes, nor where it would not get smaller."""
    if compression == "none" or len(raw) < min_size:
        return "none", raw
    small = _codec(compression, level).compress(raw, asbytes=True)
    return (compression, small) if len(small) < len(raw) else ("none", raw)


def _codec(compression: str, level: int) -> pa.Codec:
    return pa.Codec("zstd", compression_level=level) if compression == "zstd" else pa.Codec("lz4_raw")


def _decompress(envelope: Envelope, payload: memoryview, max_decoded: int) -> bytes | memoryview:
    if envelope.raw_size > max_decoded:
        raise EnvelopeError(f"an entry would grow to {envelope.raw_size} bytes; the limit is {max_decoded}")
    if envelope.compression == "none":
        return payload
    if envelope.compression not in ("zstd", "lz4"):
        raise EnvelopeError(f"an entry's compression {envelope.compression!r} is not known here")
    try:
        size = envelope.raw_size
        return memoryview(_codec(envelope.compression, 1).decompress(pa.py_buffer(payload), size))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise EnvelopeError("an entry does not decompress") from error
