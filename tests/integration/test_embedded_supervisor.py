"""The supervisor, with real processes that crash, hang and leave orphans."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Condition

import psutil
import pytest

from superset_ext.embedded import supervisor as module
from superset_ext.embedded.parts import Part, guarded
from superset_ext.embedded.processes import is_alive, note, wait_until
from superset_ext.embedded.supervisor import Supervisor
from superset_ext.errors import StackError
from testing.stack import left, runs

SECONDS = 60.0
ENV = {"PATH": os.environ["PATH"]}


class Watched:
    """A supervisor, and a wait for the next start of a part."""

    def __init__(self) -> None:
        self.starts: list[Mapping[str, int]] = []
        self._started = Condition()
        self.supervisor = Supervisor(self._note)

    def _note(self, pids: Mapping[str, int]) -> None:
        with self._started:
            self.starts.append(pids)
            self._started.notify_all()

    def start(self, script: str, name: str = "part") -> psutil.Process:
        before = len(self.starts)
        self.supervisor.start(Part(name, ["sh", "-c", script], ENV))
        return self.next(name, before)

    def next(self, name: str, before: int) -> psutil.Process:
        with self._started:
            assert self._started.wait_for(lambda: len(self.starts) > before, SECONDS)
            return psutil.Process(self.starts[before][name])


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.supervisor.hurry()
    made.supervisor.stop("part", "other")


def wait_for_file(path: Path) -> str:
    assert wait_until(lambda: path.exists() and path.read_text().endswith("\n"), SECONDS)
    return path.read_text()


def test_a_crash_is_said_in_one_line_and_the_part_restarted(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """Intent: whoever watches sees what died and of what, once, and it runs again."""
    first = watched.start("echo hello; exec sleep 600")
    watched.supervisor.settled()
    first.kill()
    second = watched.next("part", 1)
    assert runs(second)
    assert second.pid != first.pid
    lines = [line for line in capsys.readouterr().out.splitlines() if "| part " in line]
    assert len(lines) == 1
    assert lines[0].endswith("stack    | part was killed by SIGKILL; starting it again")


def test_a_crash_before_the_stack_is_ready_ends_the_start(watched: Watched) -> None:
    """Intent: a part that cannot start at all is not tried for ever."""
    watched.supervisor.start(Part("part", ["sh", "-c", "exit 3"], ENV))
    watched.supervisor._keepers["part"].join(SECONDS)
    with pytest.raises(StackError, match="part ended with status 3 while it was starting"):
        watched.supervisor.settled()


def test_orphans_of_a_killed_part_are_ended(watched: Watched, tmp_path: Path) -> None:
    """Intent: a worker that outlives its master would keep the port; its open output must not hide the master's end."""
    pid = tmp_path / "orphan"
    first = watched.start(f"sleep 600 & echo $! > {pid}; wait")
    orphan = psutil.Process(int(wait_for_file(pid)))
    watched.supervisor.settled()
    first.kill()
    watched.next("part", 1)
    assert not left([orphan], SECONDS)


def test_stop_ends_a_part_that_does_not_listen(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: asked first, made to in the end, with all that it had started."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    ready = tmp_path / "ready"
    part = watched.start(f"trap '' TERM; echo yes > {ready}; while :; do sleep 600; done")
    wait_for_file(ready)
    assert wait_until(lambda: bool(part.children()), SECONDS)
    tree = [part, *part.children(recursive=True)]
    assert len(tree) == 2
    watched.supervisor.stop("part")
    assert not left(tree, SECONDS)
    assert len(watched.starts) == 1


class Gone(io.StringIO):
    """The terminal of a stack whose window was closed."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_lost_output_is_noticed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: `make up | head` must neither hang with a full pipe nor run on unseen: the stack is told, and stops."""
    monkeypatch.setattr(sys, "stdout", Gone())
    watched.start("echo anything; exec sleep 600")
    assert watched.supervisor.lost_output.wait(SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_guarded_process_ends_with_its_starter() -> None:
    """Intent: SIGKILL of the supervisor leaves nothing running."""
    script = (
        "import subprocess, sys, time; from superset_ext.embedded.parts import guarded;"
        "p = subprocess.Popen(guarded(['sleep', '600'])); print(p.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        child = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
        assert not left([child], SECONDS)


def test_a_guarded_process_is_the_command_itself() -> None:
    """Intent: signals to its number reach the program, so the guard must have become it."""
    with subprocess.Popen(guarded(["sh", "-c", "echo $$"]), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert int(process.stdout.read()) == process.pid


def test_a_number_given_to_another_process_is_not_ours() -> None:
    """Intent: `make down` of an old state directory must never end a stranger."""
    mine = note(os.getpid())
    assert is_alive(mine)
    assert not is_alive({**mine, "started": mine["started"] - 60})
