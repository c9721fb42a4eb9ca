"""A process that has imported Superset and is forked for whoever asks, so that a start takes half a second, not five.

    python -m testing.zygote LISTENING_SOCKET

`testing/programs.py` starts it, and makes the programs that ask it: each sends what it was called with, its
environment and its files over a Unix socket, passes signals on, and ends with the status of the fork. A fork has no
app and no config yet. It makes its own, as a process does that was started: what is saved is reading and compiling
3,000 modules. Two things differ from a real start. All forks have one seed of hashes, and the few values that modules
of Superset take from the config while they are imported are stock's (of feature flags, DRUID_JOINS and the
THUMBNAILS ones).
"""

from __future__ import annotations

import array
import atexit
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from testing.preload import preload

ROOT = Path(__file__).resolve().parents[1]
REQUEST_BYTES = 1 << 20
_base_path = [entry for entry in sys.path if entry not in ("", str(ROOT))]


@dataclass
class Request:
    """What a program was called with; its standard files are those of this process by now."""

    argv: list[str]
    env: dict[str, str]
    cwd: str


class Forks:
    """The programs that were asked for, each with the connection of who asked."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._selector = selectors.DefaultSelector()
        self._asking: dict[int, socket.socket] = {}
        self._ended, ended = socket.socketpair()
        for end in (self._ended, ended):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ended.fileno())
        self._keep = ended

    def serve(self) -> Request | None:
        """In a fork, what to run; in this process `None`, when whoever started it has gone."""
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    self._end()
                    return None
                if key.fileobj is self._listening:
                    if (request := self._fork()) is not None:
                        return request
                elif key.fileobj is self._ended:
                    self._bury()
                else:
                    self._hear(key.data)

    def _fork(self) -> Request | None:
        connection, _ = self._listening.accept()
        request, files = _receive(connection)
        pid = os.fork()
        if pid == 0:
            self._become(request, files)
            return request
        for file in files:
            os.close(file)
        connection.sendall(f"pid {pid}\n".encode())
        self._asking[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _become(self, request: Request, files: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 4096)
        os.environ.clear()
        os.environ.update(request.env)
        os.chdir(request.cwd)

    def _hear(self, pid: int) -> None:
        """A number is a signal to pass on; the end of the connection is that of who asked."""
        connection = self._asking.get(pid)
        if connection is None:
            return  # buried in this very turn
        numbers = connection.recv(64)
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            self._kill(pid)
            self._selector.unregister(connection)
            self._asking.pop(pid).close()

    def _bury(self) -> None:
        self._ended.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (connection := self._asking.pop(pid, None)) is not None:
                self._selector.unregister(connection)
                with suppress(OSError):  # who asked has gone
                    connection.sendall(f"status {os.waitstatus_to_exitcode(status)}\n".encode())
                connection.close()

    def _end(self) -> None:
        for pid in self._asking:
            self._kill(pid)

    @staticmethod
    def _kill(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _receive(connection: socket.socket) -> tuple[Request, list[int]]:
    files = array.array("i")
    message, ancillary, _, _ = connection.recvmsg(REQUEST_BYTES, socket.CMSG_SPACE(3 * files.itemsize))
    for _level, _kind, data in ancillary:
        files.frombytes(data)
    while not message.endswith(b"\n"):
        message += connection.recv(REQUEST_BYTES)
    return Request(**json.loads(message)), list(files)


def run(request: Request) -> int:
    """Run a program as Python itself would, to its end; returns the status."""
    sys.path[:] = [*request.env.get("PYTHONPATH", "").split(os.pathsep), *_base_path]
    sys.path[:] = [entry for entry in sys.path if entry]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        through = stream is sys.stderr or "PYTHONUNBUFFERED" in request.env
        stream.reconfigure(line_buffering=stream.isatty() or through, write_through=through)
    try:
        _execute(request.argv)
        status: Any = 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 – whatever it is, Python shows it and ends
        traceback.print_exc()
        status = 1
    return _ended(status)


def _execute(argv: list[str]) -> None:
    program, *rest = argv
    main = sys.modules["__main__"] = ModuleType("__main__")
    if not Path(program).name.startswith("python"):
        sys.argv[:], sys.path[:0] = argv, [str(Path(program).parent)]
        runpy.run_path(program, run_name="__main__")
    elif rest[0] == "-c":
        sys.argv[:], sys.path[:0] = ["-c", *rest[2:]], [""]
        exec(compile(rest[1], "<string>", "exec"), vars(main))
    elif rest[0] == "-m":
        sys.argv[:], sys.path[:0] = rest[1:], [str(Path.cwd())]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:], sys.path[:0] = rest, [str(Path(rest[0]).parent)]
        runpy.run_path(rest[0], run_name="__main__")


def _ended(status: Any) -> int:
    """What the interpreter does at its end, but for taking 3,000 modules apart."""
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    return int(status or 0) & 0xFF


def main() -> None:
    """Serve the socket whose number is the argument."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    preload()
    request = Forks(listening).serve()
    if request is not None:
        os._exit(run(request))


if __name__ == "__main__":
    main()
