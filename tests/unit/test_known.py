"""What a process keeps of entries that it has checked: only the very same bytes under the very same name are known."""

from __future__ import annotations

from superset_ext.cache import known
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.known import Known


def verdict(size: int = 10) -> known.Verdict:
    """What an entry of so many bytes came to."""
    return Envelope(b"i" * 16, 1, (), 1.0, "msgpack1", "none", size, "run", 1), object()


def test_only_the_same_bytes_under_the_same_name_are_known() -> None:
    """Intent: whoever writes to Redis can copy an entry under another name, or replace it; that is checked anew."""
    checked, one = Known(), verdict()
    checked.put("a", b"entry", one)
    assert checked.get("a", bytes(bytearray(b"entry"))) is one
    assert checked.get("a", b"entrx") is None
    assert checked.get("b", b"entry") is None
    assert checked.get("a", None) is None


def test_what_replaces_an_entry_is_known_in_its_place() -> None:
    """Intent: a grant that was stored anew is read as such from the second time on."""
    checked, one, other = Known(), verdict(), verdict()
    checked.put("a", b"old", one)
    checked.put("a", b"new", other)
    assert checked.get("a", b"new") is other
    assert checked.get("a", b"old") is None


def test_a_process_keeps_so_many_bytes_at_most() -> None:
    """Intent: what is kept is bounded by bytes, decoded ones included; one large answer does not push the rest out."""
    checked, size = Known(), known._LARGEST - 8
    checked.put("large", b"data", verdict(known._LARGEST))
    assert checked.get("large", b"data") is None
    for number in range(known.MOST_BYTES // known._LARGEST + 2):
        checked.put(str(number), b"datadata", verdict(size))
        assert checked.get(str(number), b"datadata") is not None
        assert sum(len(data) + one[0].raw_size for data, one in checked._verdicts.values()) <= known.MOST_BYTES
    assert checked.get("0", b"datadata") is None
