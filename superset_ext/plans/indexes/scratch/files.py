"""Gives relations without rows the lengths that they have on the source, which the planner asks the file system for.

Files are made longer without a block being written (sparse). Of a B-tree the planner also reads how high it is, and its
ends: so it gets a root, an inner page for each level, and a leaf without entries, which are all that is ever read.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from superset_ext.plans.indexes.sizes import PAGE

_SEGMENT = 131_072  # pages of a file; then the next one begins
_FIRST_FREE, _SPECIAL = 24, PAGE - 16  # where a page's header ends, and where the B-tree's own words of it begin
_LAYOUT = PAGE | 4  # size and version, as a page's header has it
_LEAF, _ROOT, _META = 1, 2, 8  # flags of a page
_MAGIC, _VERSION = 0x053162, 4  # of a B-tree since PostgreSQL 12
_PIVOT = 8 | 0x2000  # an entry of 8 bytes, of an inner page
_NORMAL = 1  # state of a pointer to an entry


def lengthen(file: Path, pages: int) -> None:
    """Make a relation's files as long as so many pages. What is longer stays.

    Raises:
        OSError: the file system lets nothing so long be made.
    """
    for number in range(math.ceil(pages / _SEGMENT)):
        part = file if not number else file.with_name(f"{file.name}.{number}")
        size = min(pages - number * _SEGMENT, _SEGMENT) * PAGE
        with part.open("ab") as out:
            if out.tell() < size:
                out.truncate(size)


def write_tree(file: Path, height: int) -> None:
    """Write the pages of an empty B-tree that has so many levels above its leaves into a new file.

    Raises:
        OSError: it cannot be written.
    """
    levels = range(height, -1, -1)
    pages = [_meta_page(height), *(_tree_page(place, level, level == height) for place, level in enumerate(levels, 1))]
    file.write_bytes(b"".join(pages))


def _meta_page(height: int) -> bytes:
    """The first page: where the root is, and how high it stands."""
    root = 1
    words = struct.pack("=7I4xd?7x", _MAGIC, _VERSION, root, height, root, height, 0, -1.0, False)
    return _page(words, b"", 0, _META)


def _tree_page(place: int, level: int, is_root: bool) -> bytes:
    """A page that is the only one of its level; above the leaves, its one entry leads to the page after it."""
    flags = (_ROOT if is_root else 0) | (0 if level else _LEAF)
    if not level:
        return _page(b"", b"", 0, flags)
    entry = struct.pack("=4H", (place + 1) >> 16, (place + 1) & 0xFFFF, 0, _PIVOT)
    pointer = struct.pack("=I", (_SPECIAL - len(entry)) | _NORMAL << 15 | len(entry) << 17)
    return _page(pointer, entry, level, flags)


def _page(begin: bytes, end: bytes, level: int, flags: int) -> bytes:
    """A page with something after its header and something before its own words."""
    free = _FIRST_FREE + len(begin), _SPECIAL - len(end)
    header = struct.pack("=Q6HI", 0, 0, 0, *free, _SPECIAL, _LAYOUT, 0)
    gap = bytes(free[1] - free[0])
    return header + begin + gap + end + struct.pack("=3I2H", 0, 0, level, flags, 0)
