"""Keeps what Superset prints and logs while it starts out of what `superset perf …` prints.

Superset writes a line to standard output for its configuration, which would stand before the JSON of a command, and
logs twenty more.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

VERBOSE = "--verbose"
_LOUD = ("listen",)  # runs for long, and its log is what people look at
_kept: list[TextIO] = []


def begin(always: bool = False) -> None:
    """From now on nothing of a starting Superset is seen but warnings and errors, if a `perf` command was called.

    Args:
        always: whatever the program is called.
    """
    words = sys.argv[1:]
    is_loud = VERBOSE in words or ("--help" not in words and any(word in _LOUD for word in words))
    if _kept or is_loud or not (always or _is_perf(words)):
        return
    _kept.append(sys.stdout)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  (until `end`)
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")


def is_on() -> bool:
    """Whether a command is starting whose Superset is to be quiet."""
    return bool(_kept)


def end() -> None:
    """From now on what is printed is seen; the log of other people stays quiet."""
    while _kept:
        sys.stdout.close()
        sys.stdout = _kept.pop()


@contextmanager
def unwarned() -> Iterator[None]:
    """Within this no warning is logged, for a command that says all of it in words of its own."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def _is_perf(words: list[str]) -> bool:
    commands = [word for word in words if not word.startswith("-")]
    return Path(sys.argv[0]).name.startswith("superset") and commands[:1] == ["perf"]
