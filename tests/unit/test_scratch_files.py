"""Files of a scratch server: as long as a source's, and nearly without a block."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from superset_ext.plans.indexes.scratch.files import lengthen, write_tree
from superset_ext.plans.indexes.sizes import PAGE

GIB = 2**30


def test_a_large_relation_has_files_of_a_gibibyte_without_blocks(tmp_path: Path) -> None:
    """Intent: PostgreSQL counts pages over all files of a relation, the last of which is shorter; disks stay empty."""
    file = tmp_path / "16384"
    file.touch()
    lengthen(file, 2 * GIB // PAGE + 3)
    parts = [file, tmp_path / "16384.1", tmp_path / "16384.2"]
    assert [part.stat().st_size for part in parts] == [GIB, GIB, 3 * PAGE]
    assert sum(part.stat().st_blocks for part in parts) * 512 < 10**6
    lengthen(file, 1)
    assert file.stat().st_size == GIB, "what is longer stays"


@pytest.mark.parametrize("height", [0, 1, 4])
def test_a_tree_leads_from_its_first_page_to_one_leaf(tmp_path: Path, height: int) -> None:
    """Intent: each page says its level and whether it is root or leaf, and the one entry of an inner page leads on."""
    file = tmp_path / "1"
    write_tree(file, height)
    pages = [file.read_bytes()[at : at + PAGE] for at in range(0, file.stat().st_size, PAGE)]
    assert struct.unpack_from("=4I", pages[0], 24) == (0x053162, 4, 1, height)
    for number, page in enumerate(pages[1:], 1):
        level, flags = struct.unpack_from("=IH", page, PAGE - 8)
        assert (level, bool(flags & 1), bool(flags & 2)) == (height + 1 - number, level == 0, number == 1)
        lower, upper, special = struct.unpack_from("=3H", page, 12)
        assert (lower - 24, special - upper, special) == ((4, 8, PAGE - 16) if level else (0, 0, PAGE - 16))
        if level:
            assert struct.unpack_from("=2H", page, upper) == (0, number + 1)
    assert len(pages) == height + 2
