"""The programs that tests start: those of this Python, or forks that have imported Superset already."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NAMES = ("superset", "gunicorn", "celery", "python")
# Asks the zygote for a fork, gives it this process's files, passes signals on, and ends as the fork does.
_PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

me = {real!r}
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
request = {{"argv": [me, *sys.argv[1:]], "env": dict(os.environ), "cwd": os.getcwd()}}
socket.send_fds(connection, [b" "], [0, 1, 2])
connection.sendall(json.dumps(request).encode() + b"\\n")
passed = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
for number in passed:
    signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
reply = b""
while part := connection.recv(64):
    reply += part
status = int(reply.rsplit(b"status ", 1)[1]) if b"status " in reply else 1
if status < 0:
    for number in passed:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@dataclass
class _Forks:
    """A zygote, once somebody has asked for a program, and the programs that ask it."""

    folder: Path
    zygote: subprocess.Popen[bytes] | None = None

    def path(self, name: str) -> Path:
        if self.zygote is None:
            self.zygote = self._start()
        return self.folder / name

    def _start(self) -> subprocess.Popen[bytes]:
        address = self.folder / "socket"
        for name in NAMES:
            path = self.folder / name
            path.write_text(_PROGRAM.format(python=sys.executable, real=str(BIN / name), address=str(address)))
            path.chmod(0o700)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPERSET", "FLASK", "PYTHON"))}
        env = kept | {"PYTHONHASHSEED": "0"}
        # Only the zygote keeps the socket: if it dies, nobody waits for it.
        with socket.socket(socket.AF_UNIX) as listening, (self.folder / "zygote.log").open("wb") as out:
            listening.bind(str(address))
            listening.listen(64)
            number = listening.fileno()
            return subprocess.Popen(
                [sys.executable, "-m", "testing.zygote", str(number)], cwd=ROOT, env=env, pass_fds=[number],
                stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        if self.zygote is not None:
            self.zygote.communicate()  # it ends when this end of its input is closed


_forks: _Forks | None = None


def program(name: str, *, real: bool = False) -> str:
    """The path of a program; `real` is one that is started from nothing, whatever else there is."""
    return str(BIN / name if real or _forks is None else _forks.path(name))


@contextmanager
def forked() -> Iterator[None]:
    """Within this, `program` gives forks of one process that has imported Superset."""
    global _forks
    with tempfile.TemporaryDirectory(prefix="forks") as folder:
        _forks = _Forks(Path(folder))
        try:
            yield
        finally:
            _forks.end()
            _forks = None
