"""A check that is sent when a request comes, and read once Redis has answered.

The metadata database works while the key is made and Redis is asked. What is asked does not depend on the request:
whether all that held a moment ago holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from superset_ext.grants.connections import Sent
from superset_ext.grants.held import Asked, Held


@dataclass(frozen=True, slots=True)
class Early:
    """A check that is under way.

    Attributes:
        held: what held a moment ago.
        sent: the statement that asks if it holds.
        read: makes of both whether a mark holds; where they say too little, it asks anew.
    """

    held: Held
    sent: Sent
    read: Callable[[Asked, Held, Sent], bool]

    def holds(self, asked: Asked) -> bool:
        """Whether a mark holds; to be asked once."""
        return self.read(asked, self.held, self.sent)

    def drop(self) -> None:
        """Have nobody ask; nothing where somebody has."""
        self.sent.drop()
