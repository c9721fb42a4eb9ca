"""The embedded stack as a person starts it: a process with output to read and signals to send."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread

import psutil

from superset_ext.core import unprivileged
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.postgres import binary
from superset_ext.embedded.stack import ADMIN, ROOT, Stack
from superset_ext.embedded.state import StateDir
from testing.databases import forgetful

COMMAND = (sys.executable, "-m", "superset_ext.embedded")
READY = (
    r"^Superset is ready at (?P<url>\S+)  user: (?P<user>\S+)  password: (?P<password>\S+)"
    r"  \(Ctrl-C stops everything\)$"
)
FIRST_START_SECONDS = 600.0  # a minute and a half where nothing else runs
END_SECONDS = 180.0
# A machine that stalls is not a server that is away: a read that fails open would be a miss.
PATIENT = {
    "SUPERSET_EXT_CONNECT_TIMEOUT_MS": "30000",
    "SUPERSET_EXT_READ_TIMEOUT_MS": "30000",
    "SUPERSET_EXT_TOTAL_TIMEOUT_MS": "60000",
}


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without what belongs to Superset or the package."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SUPERSET", "FLASK"))} | more


def embedded(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the stack to its end."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=END_SECONDS,
    )


def copy_state(stack: RunningStack, target: Path) -> None:
    """Copy the files of a stack that runs, so that another one can start on them; its caches are left behind."""
    ours = {"running.json", "postgres", "valkey"}
    shutil.copytree(stack.state_dir, target, ignore=lambda folder, _: ours if folder == str(stack.state_dir) else set())
    source, copy = stack.database_url.partition("?")[0], target / "postgres"
    copy.mkdir(mode=0o700)
    command = [str(binary("pg_basebackup")), "-d", source, "-D", str(copy), "-c", "fast", "--no-sync"]
    subprocess.run([*unprivileged.prefix(copy), *command], check=True, capture_output=True)
    forgetful(copy)


class Up:
    """`python -m superset_ext.embedded up`, as it runs."""

    def __init__(self, state_dir: Path, *options: str, port: int = 0, env: Mapping[str, str] | None = None) -> None:
        self.port = port or free_port()
        self.lines: list[str] = []
        self._more = Condition()
        command = [*COMMAND, "up", "--state-dir", str(state_dir), "--port", str(self.port), *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(**(PATIENT | dict(env or {}))), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self.lines.append("(end of output)")
            self._more.notify_all()

    def wait_for(self, pattern: str, seconds: float = FIRST_START_SECONDS, after: int = 0) -> re.Match[str]:
        """The first match in a line from the line number `after` on."""

        def first_match() -> re.Match[str] | None:
            return next((m for line in self.lines[after:] if (m := re.search(pattern, line))), None)

        def done() -> bool:
            return first_match() is not None or self.lines[-1:] == ["(end of output)"]

        with self._more:
            in_time = self._more.wait_for(done, seconds)
            match = first_match()
        assert match, f"{'ended' if in_time else 'waited'} without {pattern!r}:\n" + "\n".join(self.lines[-60:])
        return match

    def tree(self) -> list[psutil.Process]:
        """The stack's process and all below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end, and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


def left(processes: list[psutil.Process], seconds: float = END_SECONDS) -> list[psutil.Process]:
    """Those that still run after `seconds`; a dead one that nobody has collected does not run."""
    _, alive = psutil.wait_procs([p for p in processes if runs(p)], timeout=seconds)
    return [process for process in alive if runs(process)]


def runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class RunningStack:
    """A stack that has said it is ready, with what tests need of it.

    Attributes:
        database_url: of the log database, with a search path on which the published queries run.
        env: the environment of its Superset processes.
        up: its process; `None` for one that was started by hand.
    """

    url: str
    user: str
    password: str
    database_url: str
    examples_url: str
    redis_url: str
    env: dict[str, str]
    state_dir: Path
    up: Up | None

    @classmethod
    def on(cls, state_dir: Path, up: Up | None = None) -> RunningStack:
        state = StateDir(state_dir)
        ports = state.running().get("ports")
        assert ports, f"no stack runs on {state_dir}; start one with: make up STATE_DIR={state_dir}"
        stack = Stack.at(state, ports)
        names = stack.exported
        return cls(
            stack.url, ADMIN, stack.password, names["DATABASE_URL"], names["EXAMPLES_URL"], names["REDIS_URL"],
            stack.environment | PATIENT, state.path, up,
        )  # fmt: skip
