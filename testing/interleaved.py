"""A connection on which something else happens before each statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Interleaved:
    """A connection on which something else happens before each statement."""

    real: Any
    before: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("real", "before"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.real, name, value)

    def cursor(self) -> Any:
        """A cursor, likewise."""
        return _Cursor(self.real.cursor(), self)


@dataclass
class _Cursor:
    real: Any
    connection: Interleaved

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_error: object) -> None:
        self.real.close()

    def execute(self, *arguments: Any) -> None:
        self.connection.before()
        self.real.execute(*arguments)
