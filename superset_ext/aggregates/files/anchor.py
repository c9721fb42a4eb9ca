"""The anchor of a source: what changes with whatever is committed there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from superset_ext.errors import AggregateError

_PARTS = ("", ".wal", ".wal.checkpoint", ".wal.recovery")  # the file, and DuckDB's write-ahead logs of it
_SECOND = 10**9
MARGIN_NS, COARSE_NS = _SECOND // 10, 5 * _SECOND // 2  # more than any clock of files is coarse
_PATIENCE_SECONDS = 10.0
_OPEN = "/dev/fd"  # the files that this process has open


def anchor(file: Path) -> str | None:
    """The anchor at this moment, `None` where there is no such file. It takes tens of microseconds."""
    names = dict.fromkeys((os.path.realpath(file), str(file)))  # DuckDB has the logs of a link beside what it leads to
    parts = [_stamp(f"{name}{suffix}") for name in names for suffix in _PARTS]
    return None if parts[0] is None else json.dumps(parts)


def settled(file: Path, now_ns: Callable[[], int]) -> str:
    """The anchor, once the last change lies so far back that any other gets another time.

    Args:
        now_ns: by the clock of the file system, in nanoseconds since 1970.

    Raises:
        AggregateError: there is no such file, or it changes all the time.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        now, current = now_ns(), anchor(file)
        if current is None:
            raise AggregateError(f"there is no file {file}")
        if is_settled(current, now):
            return current
        time.sleep(0.02)  # nothing tells that time has passed
    raise AggregateError("its file changes all the time; nothing was changed here; try again later")


def unopened(file: Path, now_ns: Callable[[], int]) -> str:
    """The settled anchor of a file that nothing has open in this process: a connection that is made from now on reads
    what the anchor stands for, or something later.

    Raises:
        AggregateError: as of `settled`; or the file is open all the time.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        current = settled(file, now_ns)
        if not is_open_here(file):
            return current
        time.sleep(0.02)  # nothing tells that it was closed
    raise AggregateError("charts read its file in this process all the time; nothing was changed here; try again later")


def is_settled(current: str, now_ns: int) -> bool:
    """Whether a change after `now_ns` would give another anchor."""
    changed: list[int] = [part[4] for part in json.loads(current) if part is not None]
    is_coarse = any(one % _SECOND == 0 for one in changed)
    return now_ns - max(changed) >= (COARSE_NS if is_coarse else MARGIN_NS)


def is_open_here(file: Path) -> bool:
    """Whether this very file is open in this process, and not one that was there before. No file is opened for that."""
    try:
        wanted = file.stat()
        numbers = [path.name for path in Path(_OPEN).iterdir()]
    except OSError:
        return False
    return any(_is_same(int(number), wanted) for number in numbers)


def _is_same(number: int, wanted: os.stat_result) -> bool:
    try:
        there = os.fstat(number)
    except OSError:  # it is closed by now, as that of the listing is
        return False
    return (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino)


def _stamp(path: str) -> list[int] | None:
    try:
        there = Path(path).stat()
    except OSError:
        return None
    return [there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns]
