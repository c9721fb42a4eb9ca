"""Telling upper rooms by a signal: a receiver can neither answer nor raise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from blinker import Signal

from superset_ext.core.warn_once import warn

failures: Counter[str] = Counter()  # by the name of what failed, since the process began


def tell(signal: Signal, sender: Any, event: Any) -> None:
    """Call each receiver of a signal with `event`, and drop what it returns. One that fails is as in `attempt`."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, event=event)
        except Exception as error:  # noqa: BLE001  (nothing that a receiver raises concerns the sender)
            count_failure(_name(receiver), error)


def attempt(function: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Call a function whose failure must not stop the caller: it is counted, and a warning a minute names it."""
    try:
        function(*args, **options)
    except Exception as error:  # noqa: BLE001  (as above)
        count_failure(_name(function), error)


def _name(function: Callable[..., Any]) -> str:
    whole = function.func if isinstance(function, partial) else function
    return getattr(whole, "__qualname__", type(whole).__name__)


@contextmanager
def harmless(name: str) -> Iterator[None]:
    """As `attempt`, for a block of code."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (as above)
        count_failure(name, error)


def unfailing(name: str, otherwise: Callable[..., Any] = lambda *_: None) -> Callable[[Callable[..., Any]], Any]:
    """Guard a hook: what Flask, SQLAlchemy or Superset calls while a person waits. Its failure is counted, not raised.

    The hook itself is the attribute `__wrapped__`, as it is when it is called.

    Args:
        name: what it does, for the warning.
        otherwise: what to return after a failure, from the hook's arguments.
    """

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def hook(*args: Any, **options: Any) -> Any:
            try:
                return hook.__wrapped__(*args, **options)
            except Exception as error:  # noqa: BLE001  (as in `attempt`)
                count_failure(name, error)
                return otherwise(*args, **options)

        return hook

    return guard


def count_failure(name: str, error: Exception) -> None:
    """Count a failure that stops nobody, and warn of it once a minute."""
    failures[name] += 1
    warn(f"failure {name}", "%s failed (%s), %d times so far", name, type(error).__name__, failures[name])
