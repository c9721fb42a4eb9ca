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

from superset_ext.embedded.processes import end_group

GUARD = Path(__file__).with_name("guard.py")
ORPHAN_SECONDS = 3.0
SERVICES, SERVERS = ("web", "worker", "warmer", "listener"), ("postgres", "valkey")


@dataclass(frozen=True)
class Part:
    """A program of the stack.

    Attributes:
        name: the mark of its lines of output.
        command: the program and its arguments.
        env: its whole environment, which holds secrets.
        stop_signal: the signal at which it ends in an orderly way.
    """

    name: str
    command: list[str]
    env: Mapping[str, str] = field(repr=False)
    stop_signal: signal.Signals = signal.SIGTERM


def guarded(command: list[str], stop_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line under which a program ends when this process does; on other systems than Linux, unchanged."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(stop_signal)), *command]


class PartProcess(Process):  # type: ignore[misc]
    """honcho's process, but its end is seen at once, also while its orphans still hold its output open.

    Otherwise a killed gunicorn would seem to live until its last worker is gone, and the workers would keep the port.
    """

    def __init__(self, part: Part, colour: str) -> None:
        super().__init__(guarded(part.command, part.stop_signal), name=part.name, colour=colour, env=dict(part.env))
        self.returncode: int | None = None
        self._reader = threading.Thread(target=self._relay, daemon=True)

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start the process, and return when it has ended; call `clean_up` then.

        Raises:
            OSError: it could not be started.
        """
        self._events = events
        self._child = Popen(self.cmd, env=self.env, cwd=self.cwd, shell=False, stdin=subprocess.DEVNULL)
        self._send_message({"pid": self._child.pid}, type="start")
        self._reader.start()
        self.returncode = self._child.wait()

    def clean_up(self) -> None:
        """End the orphans of a process that has ended, and show the rest of its output."""
        if self._child is not None:
            end_group(self._child.pid, ORPHAN_SECONDS)
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
