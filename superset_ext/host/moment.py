"""One moment of Superset: what making a cache key asks again and again is asked once.

A key is made on each read, hits included. Superset asks its metadata for the same right, dataset or rule several times
on the way, parses the same SQL, compiles the same template, and opens a connection to the source to learn its default
schema. Within a moment, which is the making of one key or one check of rights, the first answer is kept. Nothing of
that outlives the moment: a right that is revoked is revoked for the next request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

_JUST_NOW_SECONDS = 1.0
MISSING = object()


@dataclass(slots=True)
class Memory:
    """What a moment has been told.

    Attributes:
        is_key: whether a key is made in it; a check of rights remembers rights alone.
        answers: by the function, the user and the arguments.
        users: kept, so that no other one gets the address of one of them.
    """

    is_key: bool
    answers: dict[Any, Any] = field(default_factory=dict)
    users: dict[int, Any] = field(default_factory=dict)

    def user(self) -> int:
        """The current user, by the address of their object."""
        from flask import g

        user = g.get("user")
        self.users[id(user)] = user
        return id(user)


_memory: ContextVar[Memory | None] = ContextVar("superset_ext_moment", default=None)


@contextmanager
def moment(is_key: bool = True, known: Memory | None = None) -> Iterator[None]:
    """Have what is asked within this asked once; within another moment it is a part of that.

    Args:
        is_key: whether a key is made, and not rights checked.
        known: what a check of rights just before has been told.
    """
    outer = _memory.get()
    if outer is not None and (outer.is_key or not is_key):
        yield
        return
    known = known or outer
    token = _memory.set(Memory(is_key, dict(known.answers), dict(known.users)) if known else Memory(is_key))
    try:
        yield
    finally:
        _memory.reset(token)


def remembering() -> Memory | None:
    """The memory of the moment that this is, of a key or a check of rights."""
    return _memory.get()


def memory_of_key() -> Memory | None:
    """The memory of the moment, where a key is made in it."""
    memory = _memory.get()
    return memory if memory is not None and memory.is_key else None


def keep_rights(query_context: Any) -> None:
    """Keep with a query context what this check of its rights was told, for the key that is made of it next."""
    query_context._superset_ext_rights = time.monotonic(), _memory.get()


def rights_of(query_context: Any) -> Memory | None:
    """What was told to the check of a query context's rights, where that was just now."""
    checked, memory = getattr(query_context, "_superset_ext_rights", (0.0, None))
    return memory if time.monotonic() - checked < _JUST_NOW_SECONDS else None


def rights_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a question for a right of the current user."""
    return _once(stock, is_key=False)


def once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a question to Superset's metadata."""
    return _once(stock, is_key=True)


def _once(stock: Callable[..., Any], is_key: bool) -> Callable[..., Any]:
    @wraps(stock)
    def asked(*args: Any, **named: Any) -> Any:
        memory = memory_of_key() if is_key else remembering()
        if memory is None:
            return stock(*args, **named)
        try:
            key = (stock, memory.user(), args, tuple(sorted(named.items())))
            answer = memory.answers.get(key, MISSING)
        except TypeError:  # an argument that is no key
            return stock(*args, **named)
        if answer is MISSING:
            answer = memory.answers[key] = stock(*args, **named)
        return answer

    return asked
