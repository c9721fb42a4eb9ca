"""Whoever can write to Redis can neither run code nor put an answer on a chart."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import redis

from superset_ext.cache import envelope
from superset_ext.cache.keyring import KeyRing
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss
from testing.regions import SECRET, client_of, heard, make_region

KEY = "a-chart"


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._path}",)


def packed(value: Any, key: str, secret: str) -> bytes:
    return envelope.pack(
        value, key=key, ring=KeyRing(secret), as_of_us=1, tags=(), cost_ms=1.0, run_id="", stored_at_us=1,
        fresh_until_us=0, compression="zstd", level=1, min_size=0,
    )  # fmt: skip


@pytest.fixture
def client(valkey: Valkey) -> redis.Redis:
    connection = client_of(valkey.url)
    connection.flushdb()
    return connection


def read(valkey: Valkey, **knobs: object) -> tuple[Any, list[Any]]:
    """What a region gives for the key, and the reasons it tells."""
    with heard() as events:
        value = make_region(valkey.url, **knobs).get(KEY)
    return value, [event.result for event in events]


@pytest.mark.parametrize("form", ["stock", "ours"])
def test_a_pickle_executes_nothing(valkey: Valkey, client: redis.Redis, tmp_path: Path, form: str) -> None:
    """Intent: neither stock's format nor a well-formed entry of ours that another key has signed is unpickled."""
    trap = Trap(tmp_path / "executed")
    data = b"!" + pickle.dumps(trap) if form == "stock" else packed(trap, f"chart_{KEY}", "a secret of the attacker's")
    client.set(f"chart_{KEY}", data)
    value, reasons = read(valkey)
    assert value is None
    assert reasons == [Miss.UNKNOWN_FORMAT if form == "stock" else Miss.BAD_SIGNATURE]
    assert not (tmp_path / "executed").exists()


def test_the_trap_works(tmp_path: Path) -> None:
    """Intent: what the tests above write would create a file, if it were unpickled."""
    pickle.loads(pickle.dumps(Trap(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


def test_a_bomb_is_not_decompressed(valkey: Valkey, client: redis.Redis) -> None:
    """Intent: an entry says, signed, how large it grows; over the cap it is a miss, though the signature is right."""
    data = packed(b"\0" * (64 << 20), f"chart_{KEY}", SECRET)
    assert len(data) < 1 << 16
    client.set(f"chart_{KEY}", data)
    value, reasons = read(valkey, MAX_DECODED_BYTES=1 << 20)
    assert value is None
    assert reasons == [Miss.UNKNOWN_FORMAT]


@pytest.mark.parametrize("cut", [1, 20, 56, 57, 100, -1])
def test_a_truncated_entry_is_a_miss(valkey: Valkey, client: redis.Redis, cut: int) -> None:
    """Intent: half an entry is no entry, wherever it ends."""
    make_region(valkey.url).set(KEY, {"df": list(range(1000)), "query": "SELECT 1"})
    client.set(f"chart_{KEY}", client.get(f"chart_{KEY}")[:cut])
    value, reasons = read(valkey)
    assert value is None
    assert reasons in ([Miss.UNKNOWN_FORMAT], [Miss.BAD_SIGNATURE])


def test_an_entry_under_another_key_is_a_miss(valkey: Valkey, client: redis.Redis) -> None:
    """Intent: one person's answer, copied over another's key, is not theirs."""
    make_region(valkey.url).set("somebody-elses", {"df": [1], "query": "SELECT 1"})
    client.copy("chart_somebody-elses", f"chart_{KEY}")
    assert read(valkey) == (None, [Miss.BAD_SIGNATURE])
