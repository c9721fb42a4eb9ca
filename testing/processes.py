"""Processes that are looked at while they come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psutil


def those(processes: Iterable[psutil.Process], condition: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes for which a condition holds; one that ends while it is looked at is none of them."""
    return [process for process in processes if _holds(condition, process)]


def below() -> list[psutil.Process]:
    """All that this process has started, and what these have started."""
    return list(psutil.Process().children(recursive=True))


def _holds(condition: Callable[[psutil.Process], bool], process: psutil.Process) -> bool:
    try:
        return condition(process)
    except psutil.Error:
        return False
