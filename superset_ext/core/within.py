"""Calls that may wait for another server, and for which nobody waits longer than so many seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from superset_ext.core.fork_reset import reset_on_fork

Answer = TypeVar("Answer")
AT_A_TIME = 8  # that are under way in a process, those included for which nobody waits any more


class Within:
    """Runs calls in threads of their own: a full pool, a lock or a silent network can hold a call for longer than any
    limit that a driver or a server knows of."""

    def __init__(self) -> None:
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no call under way: threads do not survive a fork."""
        self._room = threading.Semaphore(AT_A_TIME)

    def __call__(self, seconds: float, function: Callable[..., Answer], *args: Any) -> Answer:
        """What the function returns, for these arguments and in the caller's context.

        Raises:
            TimeoutError: it has not returned within `seconds`; it goes on, and what it returns is dropped.
            Exception: what it raises.
        """
        room, answers, context = self._room, list[Answer](), copy_context()
        if not room.acquire(timeout=seconds):
            raise TimeoutError(f"{AT_A_TIME} calls before it have not returned within {seconds:g} s")
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(context.run(function, *args))
            except BaseException as error:  # noqa: BLE001  (it is the caller's)
                errors.append(error)
            finally:
                room.release()

        thread = threading.Thread(target=run, name="superset_ext-within", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process may start no more threads
            room.release()
            raise
        thread.join(seconds)
        if errors:
            raise errors[0]
        if not answers:
            raise TimeoutError(f"no answer within {seconds:g} s")
        return answers[0]


within = Within()
