"""Keeps a server that nobody may outlive: `python keeper.py FOLDER LOCK COMMANDS`, the commands as JSON.

The commands are run one after the other, the last of which is the server. When standard input ends, because the
starter closed it or was killed, the server is ended and the folder is taken away. A kernel that can (Linux) ends the
server also when this process is killed. LOCK is the number of an open file, whose lock says that the folder is used.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
TURN_SECONDS = 0.1
PATIENCE_SECONDS = 5.0


def main(folder: str, commands: list[list[str]]) -> None:
    """Run the commands until one fails, the last one ends, or standard input does; then take the folder away.

    Where a command ends by itself, the folder stays until standard input ends: its log says why.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for command in commands:
            if not run(command, folder):
                break
        while not stdin_has_ended(None):
            pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], folder: str) -> bool:
    """Run a command; whether it ended well. It is ended when standard input is."""
    with Path(folder, "log").open("ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_starter)
    try:
        while child.poll() is None and not stdin_has_ended(TURN_SECONDS):
            pass
    finally:
        end(child)
    return child.returncode == 0


def end_with_starter() -> None:
    """Ask the kernel to end this process as soon as the one that started it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGQUIT), 0, 0, 0)


def stdin_has_ended(seconds: "float | None") -> bool:
    """Whether the starter has gone; waits so long for it to go."""
    readable, _, _ = select.select([0], [], [], seconds)
    return bool(readable) and not os.read(0, 1)


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a command if it runs: PostgreSQL takes SIGQUIT for an end at once."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGQUIT)
    try:
        child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[3]))
