"""What must begin anew in a child process.

gunicorn's `--preload` and Celery's prefork pool fork after the app is built: the child then holds
sockets that it shares with its parent, and locks of threads that it does not have.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Resettable(Protocol):
    """Something with state of its process: connections, threads, locks, what waits to be written."""

    def reset(self) -> None:
        """Begin anew, without a word to what the state stood for: the parent goes on using it."""
        ...


_known: weakref.WeakSet[Resettable] = weakref.WeakSet()


def reset_on_fork(thing: Resettable) -> None:
    """Call `thing.reset()` now, and in every child process before anything else runs there."""
    thing.reset()
    _known.add(thing)


def _after_fork() -> None:
    for thing in list(_known):
        thing.reset()


os.register_at_fork(after_in_child=_after_fork)


class Pausable(Protocol):
    """Something with a thread that uses what other threads use too."""

    def pause(self) -> bool:
        """Wait a little for its thread to come to rest; whether it did, and stays so."""
        ...

    def resume(self) -> None:
        """Let the thread go on."""
        ...


_busy: weakref.WeakSet[Pausable] = weakref.WeakSet()
_forking = threading.local()


def quiet_while_forking(thing: Pausable) -> None:
    """Pause its thread while the process forks: a lock of imports, SQLAlchemy or TLS that the thread holds would stay
    locked in the child."""
    _busy.add(thing)


def _before_fork() -> None:
    _forking.paused = [thing for thing in list(_busy) if thing.pause()]


def _after_fork_in_parent() -> None:
    for thing in _forking.paused:
        thing.resume()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
