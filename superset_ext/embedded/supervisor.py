"""Keeps the parts of the stack running, shows their output, and ends them together.

It uses honcho's process, printer and colours, and replaces honcho's manager, which ends everything
as soon as one process ends. The alternatives do not fit:

- circus restarts crashed processes, but it is controlled through two ZeroMQ sockets without
  authentication (any local user could start commands), looks for crashes once a second, and cuts
  lines where a read ends;
- supervisor shows no output with prefixes, and needs a configuration file and a control socket.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from signal import SIGKILL, Signals

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from superset_ext.embedded.parts import Part, PartProcess, ending
from superset_ext.embedded.processes import signal_group, wait_until
from superset_ext.errors import StackError

NAME = "stack"
WIDTH = 8
GRACE_SECONDS = 20.0
STEADY_SECONDS = 60.0
LONGEST_PAUSE = 30.0


class Output:
    """The `sys.stdout` of the moment: a live display replaces it, and makes room for lines."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()

    def isatty(self) -> bool:
        return sys.stdout.isatty()


class Supervisor:
    """The parts that run; `changed` is called with the numbers of all processes whenever one has started."""

    def __init__(self, changed: Callable[[Mapping[str, int]], None]) -> None:
        self._printer = Printer(Output(), width=WIDTH, colour="NO_COLOR" not in os.environ)
        self._colours = get_colours()
        self._changed = changed
        self._lock = threading.RLock()
        self._parts: dict[str, Part] = {}
        self._keepers: dict[str, threading.Thread] = {}
        self._pids: dict[str, int] = {}
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._steady = False
        self._failure: str | None = None
        self.lost_output = threading.Event()

    def start(self, part: Part) -> None:
        """Start a part and keep it running until `stop`."""
        keeper = threading.Thread(target=self._keep, args=(part, next(self._colours)), name=part.name, daemon=True)
        self._parts[part.name], self._keepers[part.name] = part, keeper
        keeper.start()

    def _keep(self, part: Part, colour: str) -> None:
        """Run a part again and again. The thread must outlive its child, whose death signal depends on the thread."""
        pause = 0.0
        while not self._stopping.is_set():
            began, process = time.monotonic(), PartProcess(part, colour)
            how = self._run(process)
            pause = 0.0 if time.monotonic() - began > STEADY_SECONDS else min(LONGEST_PAUSE, pause * 2 + 1)
            again = self._again(part.name, how, pause)
            process.clean_up()
            if not again or self._stopping.wait(pause):
                return

    def _run(self, process: PartProcess) -> str:
        try:
            process.run(events=self)
        except OSError as error:
            return f"could not be started ({error})"
        finally:
            with self._lock:
                self._pids.pop(process.name, None)
        return ending(process.returncode or 0)

    def _again(self, name: str, how: str, pause: float) -> bool:
        if self._stopping.is_set():
            return False
        if not self._steady:
            self._failure = f"{name} {how} while it was starting; its lines above say why"
            return False
        self.say(f"{name} {how}; starting it again" + (f" in {pause:.0f} s" if pause > 1 else ""))
        return True

    @property
    def has_started(self) -> bool:
        """Whether a part was ever started."""
        return bool(self._keepers)

    def put(self, message: Message) -> None:
        """Called by honcho's process with a line to show, or with the number of a process that has started."""
        if message.type == "line":
            return self._show(message)
        with self._lock:
            pid = self._pids[message.name] = message.data["pid"]
            if self._stopping.is_set():
                signal_group(pid, SIGKILL)  # it started after `stop` had looked
            return self._changed(dict(self._pids))

    def say(self, text: str) -> None:
        """Show a line of the stack's own."""
        self._show(Message("line", text, datetime.now(), NAME, None))

    def _show(self, message: Message) -> None:
        try:
            with self._lock:
                self._printer.write(message)
        except OSError:  # the terminal, or the reader of the pipe, is gone
            self.lost_output.set()

    def check(self) -> None:
        """Check that no part has failed.

        Raises:
            StackError: a part ended before the stack was `settled`.
        """
        if self._failure:
            raise StackError(self._failure)

    def settled(self) -> None:
        """From now on, start a part again when it ends.

        Raises:
            StackError: a part has ended already.
        """
        self.check()
        self._steady = True

    def hurry(self) -> None:
        """Stop waiting for orderly ends."""
        self._hurry.set()

    def stop(self, *names: str) -> None:
        """End these parts together and wait for them: by their own signals, and after the grace period by SIGKILL."""
        self._stopping.set()
        keepers = [self._keepers[name] for name in names if name in self._keepers]
        self._signal(names)

        def done() -> bool:
            return not any(keeper.is_alive() for keeper in keepers)

        wait_until(lambda: done() or self._hurry.is_set(), GRACE_SECONDS)
        if not done():
            self._signal(names, SIGKILL)
            wait_until(done, GRACE_SECONDS)

    def _signal(self, names: tuple[str, ...], number: Signals | None = None) -> None:
        """Signal the leaders of groups, who tell the rest; SIGKILL goes to all, since nobody can pass it on."""
        with self._lock:
            targets = [(self._parts[name], self._pids[name]) for name in names if name in self._pids]
        for part, pid in targets:
            with suppress(ProcessLookupError):
                signal_group(pid, number) if number else os.kill(pid, part.stop_signal)
