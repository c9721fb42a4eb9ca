"""The servers behind one URL: where each command goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from superset_ext.cache.redis.node import Answer, Command, Node

Address = tuple[str, int]
Addressed = tuple[bytes, Command]


class Topology(Protocol):
    """The servers behind one URL."""

    clustered: bool

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """Send each command to the server of its key; the answer's run id is that of the last command's server.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        ...

    def node(self, key: bytes, deadline: float) -> Node:
        """The server of a key.

        Raises:
            StoreUnavailable: no server of the cluster says whose it is.
        """
        ...

    def primaries(self, deadline: float) -> Sequence[Node]:
        """Every server that holds keys.

        Raises:
            StoreUnavailable: no server of the cluster names them.
        """
        ...


class Single:
    """One server, or the one that the Sentinels name."""

    clustered = False

    def __init__(self, node: Node) -> None:
        self._node = node

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """All commands in one round trip."""
        return self._node.ask([command for _, command in commands], deadline, weigh)

    def node(self, key: bytes, deadline: float) -> Node:
        """The server."""
        return self._node

    def primaries(self, deadline: float) -> Sequence[Node]:
        """The server."""
        return [self._node]
