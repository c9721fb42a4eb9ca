"""What must begin anew in a child process.

gunicorn's `--preload` and Celery's prefork pool fork after the app is built: the child then holds
sockets that it shares with its parent, and locks of threads that it does not have.
"""

from __future__ import annotations

import os
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
