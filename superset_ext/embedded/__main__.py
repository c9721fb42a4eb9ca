"""`python -m superset_ext.embedded up|down|env|superset`, which the Makefile calls."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import NoReturn

import psycopg2

from superset_ext.embedded.down import down
from superset_ext.embedded.environment import exports
from superset_ext.embedded.initialise import first_line, is_full
from superset_ext.embedded.running import is_whole
from superset_ext.embedded.stack import Stack
from superset_ext.embedded.state import StateDir
from superset_ext.embedded.up import up
from superset_ext.errors import StackError, SupersetExtError


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status, 1 with one line on standard error where it cannot be done."""
    own, words = _split(argv)
    arguments = _parser().parse_args(own)
    state = StateDir(arguments.state_dir)
    try:
        if arguments.command == "up":
            up(state, arguments.port, arguments.examples)
        elif arguments.command == "down":
            print(down(state))
        elif arguments.command == "env":
            print(exports(_running(state).exported))
        else:
            superset(state, words)
    except SupersetExtError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reader of our output has left; the interpreter would fail once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except psycopg2.Error as error:
        return _fail(_full(state) if is_full(str(error)) else f"PostgreSQL: {first_line(error)}; see {state.path}")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _fail(f"{error.filename or state.path}: {error.strerror or error}; correct that, then run: make up")
        return _fail(_full(state))
    return 0


def _full(state: StateDir) -> str:
    return f"the disk of {state.path} is full; free some space, then go on with: make up"


def superset(state: StateDir, words: list[str]) -> NoReturn:
    """Replace this process by the command `superset`, in the environment of the stack that runs on a state directory.

    Raises:
        StackError: no stack runs on it.
    """
    environment = _running(state).environment
    command = [str(Path(sys.executable).with_name("superset")), *words]
    if words[:1] == ["perf"]:  # some of these commands start in a second where Superset's own program takes nine
        command = [sys.executable, "-m", "superset_ext.cli", *words[1:]]
    os.execve(command[0], command, environment)  # noqa: S606  (its signals and exit status are then those of the command)


def _running(state: StateDir) -> Stack:
    ports = state.running().get("ports") or {}
    if not is_whole(ports) or not state.is_locked():
        raise StackError(f"no stack runs on {state.path}; start one with: make up")
    return Stack.at(state, ports)


def _fail(line: str) -> int:
    print(f"superset_ext: {line}", file=sys.stderr, flush=True)
    return 1


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """The arguments before `--`, which are ours, and those after it, which are for `superset`."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m superset_ext.embedded", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "env", "superset"])
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".state"),
        help="folder of data and secrets (.state)",
    )
    parser.add_argument("--port", type=_port, default=8088, help="the web server's port on loopback (8088)")
    parser.add_argument("--no-examples", dest="examples", action="store_false", help="start without the examples")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
