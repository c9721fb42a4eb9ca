"""`make up`: from a state directory to the ready line, and from Ctrl-C to nothing left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from types import FrameType

from superset_ext.embedded import leftovers
from superset_ext.embedded.environment import ADMIN, Stack, base_environment
from superset_ext.embedded.initialise import ENTRYPOINT, initialise
from superset_ext.embedded.parts import Part
from superset_ext.embedded.ports import LOOPBACK, is_free
from superset_ext.embedded.progress import step
from superset_ext.embedded.state import StateDir
from superset_ext.embedded.supervisor import Supervisor
from superset_ext.errors import StackError
from superset_ext.settings import load

START_SECONDS = 180.0
SERVICES, SERVERS = ("web", "worker", "warmer", "listener"), ("postgres", "valkey")
WORKERS = {"worker": "celery@", "warmer": "warm@"}


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
    supervisor = Supervisor(lambda pids: stack.state.note(_note(stack, pids)))
    try:
        with _signals_raise():
            _boot(stack, supervisor, examples)
            print(
                f"Superset is ready at {stack.url}  user: {ADMIN}  password: {stack.password}"
                "  (Ctrl-C stops everything)",
                flush=True,
            )
            supervisor.lost_output.wait()
    except Stopped:
        supervisor.say("stopping; press Ctrl-C again to stop at once")
    finally:
        _stop(stack, supervisor)


def _boot(stack: Stack, supervisor: Supervisor, examples: bool) -> None:
    start_servers(stack, supervisor)
    initialise(stack, examples)
    supervisor.check()
    with step("Starting Superset"):
        for part in services(stack):
            supervisor.start(part)
        _wait(supervisor, "web", lambda: web_answers(stack.port))
        for name, node in WORKERS.items():
            _wait(supervisor, name, lambda node=node: worker_answers(stack.valkey.url, node))  # type: ignore[misc]
        supervisor.start(listener(stack))  # which nobody waits for, and whose start would slow the others' down
    supervisor.settled()


def start_servers(stack: Stack, supervisor: Supervisor) -> None:
    """Start PostgreSQL and Valkey, and wait until both answer.

    Raises:
        StackError: one does not start.
    """
    if not stack.state.has_data:
        with step("Making the database server's files"):
            stack.postgres.initialise()
    stack.postgres.initialise()  # sees to the version of files that are there
    own = base_environment()
    supervisor.start(Part("postgres", stack.postgres.command(), own, signal.SIGINT))  # its fast shutdown
    supervisor.start(Part("valkey", stack.valkey.command(), own))
    stack.postgres.wait()
    stack.valkey.wait()


def services(stack: Stack) -> list[Part]:
    """Web and workers, by the very script that containers run."""
    roles = {"web": "web", "worker": "worker-beat", "warmer": "warmer"}
    return [Part(name, [str(ENTRYPOINT), role], stack.environment) for name, role in roles.items()]


def listener(stack: Stack) -> Part:
    """What hears of changes at their commit."""
    return Part("listener", [str(ENTRYPOINT), "listener"], stack.environment)


def web_answers(port: int) -> bool:
    """Whether the web server says that it is healthy."""
    server = HTTPConnection(LOOPBACK, port, timeout=START_SECONDS)  # it is queued while gunicorn boots
    try:
        server.request("GET", "/health")
        return server.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        server.close()


def worker_answers(url: str, node: str) -> bool:
    """Whether a worker whose name begins with `node` answers a ping through the broker at `url`, within a second."""
    from celery import Celery

    with Celery(broker=f"{url}/0") as app:
        return any(name.startswith(node) for answer in app.control.ping(timeout=1.0) for name in answer)


def _wait(supervisor: Supervisor, name: str, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        supervisor.check()
        if time.monotonic() > deadline:
            raise StackError(f"{name} has not answered for {START_SECONDS:.0f} s; it may say why above")
        time.sleep(0.1)


def _note(stack: Stack, pids: Mapping[str, int]) -> dict[str, object]:
    parts = {name: leftovers.note(pid) for name, pid in pids.items()}
    return {"supervisor": leftovers.note(os.getpid()), "ports": stack.ports, "parts": parts}


def _stop(stack: Stack, supervisor: Supervisor) -> None:
    """The services first: what they have counted is still to be written to the servers."""
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


def end_leftovers(state: StateDir) -> list[str]:
    """End what a killed stack left running; returns the names of those parts."""
    noted = state.running().get("parts", {})
    alive = [name for name, process in noted.items() if leftovers.is_alive(process)]
    for name in sorted(alive, key=lambda name: name in SERVERS):
        leftovers.sweep(noted[name]["pid"], START_SECONDS / 6)
    state.note(None)
    return alive


def down(state: StateDir) -> str:
    """Stop the stack of a state directory, or what is left of one; returns what was done, in a line.

    Raises:
        StackError: it does not end.
    """
    supervisor = state.running().get("supervisor")
    if state.is_locked() and supervisor and leftovers.is_alive(supervisor):
        os.kill(supervisor["pid"], signal.SIGTERM)
        if not leftovers.wait_until(lambda: not state.is_locked(), START_SECONDS):
            raise StackError(f"the stack (process {supervisor['pid']}) does not end; see what it says where it runs")
        return f"The stack of {state.path} is stopped."
    ended = end_leftovers(state) if state.path.is_dir() else []
    if ended:
        return f"Ended what a killed stack had left running on {state.path}: {', '.join(ended)}."
    return f"Nothing runs on {state.path}."
