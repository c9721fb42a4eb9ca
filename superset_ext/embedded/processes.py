"""Processes by number, and whether a number still means the process for which it was noted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TypedDict

import psutil

TOLERANCE_SECONDS = 2.0  # a start time is derived from the boot time, which clock corrections move a little


class NotedProcess(TypedDict):
    """A process as it is written down: its number, and when it started in seconds since 1970."""

    pid: int
    started: float


def note(pid: int) -> NotedProcess:
    """What to write down of a running process; one that has just ended is noted so that nothing ever matches it."""
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "started": 0.0}


def is_alive(noted: NotedProcess) -> bool:
    """Whether that very process still runs, and not another one that was given its number."""
    try:
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["started"]) < TOLERANCE_SECONDS
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until `condition` holds, for `seconds` at most; returns whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def group_exists(leader: int) -> bool:
    """Whether anything of a process group runs; every part of a stack leads one.

    Zombies do not count: in a container there may be nobody who collects them.
    """
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):  # the latter is macOS's answer for a group of zombies
        return False
    return any(_runs_in(leader, process) for process in psutil.process_iter())


def _runs_in(leader: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def signal_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to all that is left of a group."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def end_group(leader: int, patience: float) -> None:
    """End what is left of a group: by SIGTERM, and after `patience` seconds by SIGKILL."""
    signal_group(leader, signal.SIGTERM)
    if not wait_until(lambda: not group_exists(leader), patience):
        signal_group(leader, signal.SIGKILL)
        wait_until(lambda: not group_exists(leader), patience)
