"""The servers behind one URL: one server (`node`), the primary that Sentinels name (`sentinel`), or a `cluster`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from superset_ext.cache.redis.node import Addressed, Answer, Node

Address = tuple[str, int]


class Topology(Protocol):
    """The servers behind one URL.

    Attributes:
        clustered: whether keys are spread over servers by their slots.

    Raises:
        StoreUnavailable: a server did not answer in time, refused, or is left alone; or no server of a cluster says
            which one holds a key.
    """

    clustered: bool

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """Send each command to the server of its key; the answer's run id is that of the last command's server."""
        ...

    def node(self, key: bytes, deadline: float) -> Node:
        """The server of a key."""
        ...

    def primaries(self, deadline: float) -> Sequence[Node]:
        """Every server that holds keys."""
        ...
