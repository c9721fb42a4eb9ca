"""`make down`: ends a stack, or what a killed one has left running."""

from __future__ import annotations

import os
import signal

from superset_ext.embedded.parts import SERVERS
from superset_ext.embedded.processes import end_group, is_alive, wait_until
from superset_ext.embedded.state import StateDir
from superset_ext.errors import StackError

STOP_SECONDS = 180.0
PART_SECONDS = 30.0


def down(state: StateDir) -> str:
    """Stop the stack of a state directory, or what is left of one; returns one line that says what was done.

    Raises:
        StackError: the stack does not end.
    """
    supervisor = state.running().get("supervisor")
    if state.is_locked() and supervisor and is_alive(supervisor):
        os.kill(supervisor["pid"], signal.SIGTERM)
        if not wait_until(lambda: not state.is_locked(), STOP_SECONDS):
            raise StackError(f"the stack (process {supervisor['pid']}) does not end; see its output where it runs")
        return f"The stack of {state.path} is stopped."
    ended = end_leftovers(state) if state.path.is_dir() else []
    if ended:
        return f"Ended what a killed stack had left running on {state.path}: {', '.join(ended)}."
    return f"Nothing runs on {state.path}."


def end_leftovers(state: StateDir) -> list[str]:
    """End what a killed stack has left running, the servers last; returns the names of those parts."""
    parts = state.running().get("parts", {})
    alive = [name for name, process in parts.items() if is_alive(process)]
    for name in sorted(alive, key=lambda name: name in SERVERS):
        end_group(parts[name]["pid"], PART_SECONDS)
    state.note(None)
    return alive
