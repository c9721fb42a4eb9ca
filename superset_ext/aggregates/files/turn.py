"""Who is at an aggregate: one run at a time, of whatever process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from superset_ext.aggregates.files.place import Place, make_folder, protect
from superset_ext.aggregates.tables.refreshing import Busy
from superset_ext.errors import AggregateError


@contextmanager
def alone(place: Place, name: str) -> Iterator[Callable[[], int]]:
    """Within it, no other run builds, refreshes, checks or drops this aggregate; the lock goes with the process.

    Returns:
        What says the time by the clock of the file system, in nanoseconds since 1970.

    Raises:
        Busy: another run is at it.
        AggregateError: the folder cannot be written.
    """
    make_folder(place)
    path = place.lock(name)
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AggregateError(f"{path} cannot be written ({error.strerror})") from None
    try:
        _take(number, place, name)
        yield lambda: _now(number)
    finally:
        os.close(number)


def _take(number: int, place: Place, name: str) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = place.lock(name).stat().st_ino == os.fstat(number).st_ino
    except OSError:
        is_there = False
    if not is_there:
        raise Busy(f"another run is at the aggregate {name}")
    if not os.fstat(number).st_size:
        os.write(number, b"\n")
        protect(place.lock(name), place.file)


def _now(number: int) -> int:
    os.utime(number)
    return os.fstat(number).st_mtime_ns
