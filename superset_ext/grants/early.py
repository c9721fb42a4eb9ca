"""A check that is sent before Redis is asked, and read once Redis has answered: both servers work at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from superset_ext.grants.connections import Sent


@dataclass(frozen=True, slots=True)
class Early:
    """Whether a mark holds, as it was asked a moment ago.

    Attributes:
        sent: the statement.
        read: makes of it whether the mark holds; where the statement says too little, it asks anew.
    """

    sent: Sent
    read: Callable[[Sent], bool]

    def holds(self) -> bool:
        """Whether it holds; to be asked once."""
        return self.read(self.sent)

    def drop(self) -> None:
        """Have nobody ask; nothing where somebody has."""
        self.sent.drop()
