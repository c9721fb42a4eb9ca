"""A program of the stack, and the process that runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honcho.process import Popen, Process

from superset_ext.embedded.leftovers import sweep

GUARD = Path(__file__).with_name("guard.py")
ORPHAN_SECONDS = 3.0


@dataclass(frozen=True)
class Part:
    """A program of the stack.

    Attributes:
        name: what its lines are marked with.
        command: the program and its arguments.
        env: its whole environment; holds secrets.
        stop_signal: what asks it to end in an orderly way.
    """

    name: str
    command: list[str]
    env: Mapping[str, str] = field(repr=False)
    stop_signal: signal.Signals = signal.SIGTERM


def guarded(command: list[str], stop_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line of a program that ends when this process does, where the system can do that."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(stop_signal)), *command]


class Running(Process):  # type: ignore[misc]
    """honcho's process, but its end is seen while orphans of it still hold its output open, and they are ended.

    Otherwise a killed gunicorn would seem to live, and its workers would keep the port, until the last is gone.
    """

    def __init__(self, part: Part, colour: str) -> None:
        super().__init__(guarded(part.command, part.stop_signal), name=part.name, colour=colour, env=dict(part.env))
        self.returncode: int | None = None
        self._reader = threading.Thread(target=self._relay, daemon=True)

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start, and return when the process has ended; `bury` then sees to what it leaves behind.

        Raises:
            OSError: it could not be started.
        """
        self._events = events
        self._child = Popen(self.cmd, env=self.env, cwd=self.cwd, shell=False, stdin=subprocess.DEVNULL)
        self._send_message({"pid": self._child.pid}, type="start")
        self._reader.start()
        self.returncode = self._child.wait()

    def bury(self) -> None:
        """End the orphans of a process that has ended, and show its last words."""
        if self._child is not None:
            sweep(self._child.pid, ORPHAN_SECONDS)
            self._reader.join(ORPHAN_SECONDS)

    def _relay(self) -> None:
        with self._child.stdout as lines:
            for line in lines:
                self._send_message(line)


def ending(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"
