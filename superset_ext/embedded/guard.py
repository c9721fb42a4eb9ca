"""Start a command that ends when its starter dies: `python guard.py STARTER SIGNAL COMMAND…`.

The supervisor may be killed by SIGKILL, which it can neither catch nor pass on. Linux sends a
process a signal of its choice when its parent ends (`PR_SET_PDEATHSIG`, kept over exec). A program
of its own asks for that signal, since the supervisor has threads, and Python code between its fork
and its exec may hang. Run with `python -I -S`, the program costs 15 ms. On systems other than Linux,
`make down` ends what is left.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(starter: int, number: int, command: list[str]) -> None:
    """Ask for the signal, then replace this process by the command.

    Raises:
        OSError: the kernel refuses, or there is no such program.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != starter:  # it died before the kernel was asked
        raise SystemExit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command comes from the supervisor


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
