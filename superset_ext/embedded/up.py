"""`make up`: from a state directory to the ready line, and from Ctrl-C to nothing left running."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType

from superset_ext.embedded.browser import browser_line
from superset_ext.embedded.down import end_leftovers
from superset_ext.embedded.environment import base_environment
from superset_ext.embedded.initialise import initialise
from superset_ext.embedded.parts import SERVERS, SERVICES, Part
from superset_ext.embedded.ports import is_free
from superset_ext.embedded.processes import note
from superset_ext.embedded.progress import step
from superset_ext.embedded.readiness import wait_for, web_answers, worker_answers
from superset_ext.embedded.stack import ADMIN, ENTRYPOINT, Stack
from superset_ext.embedded.state import StateDir
from superset_ext.embedded.supervisor import Supervisor
from superset_ext.errors import StackError
from superset_ext.settings import load

ROLES = {"web": "web", "worker": "worker-beat", "warmer": "warmer", "listener": "listener"}  # of entrypoint.sh
NODES = {"worker": "celery@", "warmer": "warm@"}  # how the names of Celery's nodes begin


class Stopped(BaseException):
    """Somebody asked for the end; not an error, so nothing that handles errors may swallow it."""


def up(state: StateDir, port: int, examples: bool) -> None:
    """Run the stack until it is asked to stop.

    Raises:
        StackError: it cannot start; nothing of it is left running.
        SettingsError: the caller's environment sets something wrong.
    """
    load({**os.environ, "SUPERSET_EXT_REDIS_URL": "redis://stack"})  # in one line now, not in each part's log later
    state.prepare()
    with state.locked():
        state.adopt()
        end_leftovers(state)
        if not is_free(port):
            raise StackError(f"port {port} is in use; run: make up PORT=<another>, or end what uses it")
        _run(Stack.on(state, port), examples)


def _run(stack: Stack, examples: bool) -> None:
    supervisor = Supervisor(lambda pids: stack.state.note(_running(stack, pids)))
    try:
        with _signals_raise():
            _boot(stack, supervisor, examples)
            print(
                f"Superset is ready at {stack.url}  user: {ADMIN}  password: {stack.password}"
                "  (Ctrl-C stops everything)",
                flush=True,
            )
            if line := browser_line(stack.environment):
                print(line, flush=True)
            supervisor.lost_output.wait()
    except Stopped:
        supervisor.say("stopping; press Ctrl-C again to stop at once")
    finally:
        _stop(stack, supervisor)


def _boot(stack: Stack, supervisor: Supervisor, examples: bool) -> None:
    _start_servers(stack, supervisor)
    initialise(stack, examples)
    supervisor.check()
    with step("Starting Superset"):
        for name in ("web", *NODES):
            supervisor.start(_service(stack, name))
        wait_for("web", partial(web_answers, stack.port), supervisor.check)
        for name, node in NODES.items():
            wait_for(name, partial(worker_answers, stack.valkey.url, node), supervisor.check)
        # Nobody waits for it, and its start would slow the others' down.
        supervisor.start(_service(stack, "listener"))
    supervisor.settled()


def _start_servers(stack: Stack, supervisor: Supervisor) -> None:
    """Start PostgreSQL and Valkey, and wait until both answer."""
    if not stack.state.has_data:
        with step("Making the database server's files"):
            stack.postgres.initialise()
    stack.postgres.initialise()  # checks the version of files that are there
    own = base_environment()
    supervisor.start(Part("postgres", stack.postgres.command(), own, signal.SIGINT))  # its fast shutdown
    supervisor.start(Part("valkey", stack.valkey.command(), own))
    stack.postgres.wait()
    stack.valkey.wait()


def _service(stack: Stack, name: str) -> Part:
    """One of Superset's processes, started by the script that containers run too."""
    return Part(name, [str(ENTRYPOINT), ROLES[name]], stack.environment)


def _running(stack: Stack, pids: Mapping[str, int]) -> dict[str, object]:
    """The note of what runs, for the commands `down`, `env` and `superset`."""
    return {
        "supervisor": note(os.getpid()),
        "ports": stack.ports,
        "parts": {name: note(pid) for name, pid in pids.items()},
    }


def _stop(stack: Stack, supervisor: Supervisor) -> None:
    """Stop the services first: they still write to the servers what they have counted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.hurry())
    supervisor.stop(*SERVICES)
    supervisor.stop(*SERVERS)
    stack.state.note(None)
    if supervisor.has_started:
        supervisor.say("all stopped")


@contextmanager
def _signals_raise() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
