"""Commands as they go over the wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import Connection

from superset_ext.cache.redis.connection import packed

big = st.integers(4000, 5000).map(bytes)
words = st.one_of(st.binary(), st.text(), st.integers(), st.floats(allow_nan=False), big)
commands = st.lists(st.lists(words, min_size=1).map(lambda tail: (b"GET", *tail)), min_size=1)


@given(commands)
def test_they_are_what_redis_py_sends(batch: list[tuple[object, ...]]) -> None:
    """Intent: whatever the words, the server reads the same."""
    assert b"".join(packed(batch)) == b"".join(Connection().pack_commands(batch))


def test_a_large_value_is_not_copied() -> None:
    """Intent: an entry of megabytes goes out as it is."""
    data = bytes(10_000)
    assert any(piece is data for piece in packed([("SET", "k", data, "PX", 5), ("GET", "k")]))
