"""What must begin anew in a child process.

gunicorn's `--preload` and Celery's prefork pool fork after the app is built: the child then holds
sockets that it shares with its parent, and locks of threads that it does not have.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Something with state of its process."""

    def forget(self) -> None:
        """Begin anew."""
        ...


_known: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def forgets(thing: Forgetful) -> None:
    """Have `thing.forget()` called in every child process, before anything else runs there."""
    thing.forget()
    _known.add(thing)


def _after_fork() -> None:
    for thing in list(_known):
        thing.forget()


os.register_at_fork(after_in_child=_after_fork)
