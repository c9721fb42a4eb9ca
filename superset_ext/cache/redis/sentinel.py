"""The primary that Sentinels name, which may become another one at any time.

When they promote a replica, the old primary goes on answering for as long as nobody has told it, and
would not know of stamps that the new one gets. So the Sentinels are asked again every second while
the region is used, in a thread of its own, and connections to what is no longer the primary are left.
What remains is that second, and a primary that is cut off from the Sentinels but not from us: give
the servers `min-replicas-to-write 1`, and it cannot take stamps that would be lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from superset_ext.cache.redis.circuit import Circuit
from superset_ext.cache.redis.connection import AnyConnection
from superset_ext.cache.redis.node import Addressed, Answer, Node
from superset_ext.cache.redis.topology import Address

_LOOK_EVERY = 1.0  # seconds


class Primary:
    """Where the primary of `service` is.

    Args:
        hosts: the Sentinels; the first that answers is believed.
        service: the name that they know it by.
        options: for connections to the Sentinels.
    """

    def __init__(self, hosts: Sequence[Address], service: str, options: dict[str, Any]) -> None:
        self._sentinel = Sentinel(list(hosts), sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        self._service = service

    def address(self) -> Address:
        """Host and port, asked now.

        Raises:
            RedisError: no Sentinel knows of it.
        """
        host, port = self._sentinel.discover_master(self._service)  # type: ignore[no-untyped-call]
        return str(host), int(port)


class PrimaryNode(Node):
    """A node whose server is whatever `primary` says; see `Node` for the rest."""

    def __init__(
        self, primary: Primary, make: Callable[[], AnyConnection], size: int, circuit: Circuit, retry: bool
    ) -> None:
        super().__init__(make, size, circuit, retry)
        self._primary = primary
        self._address: Address | None = None
        self._looked_at = 0.0

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """See `Node.ask`."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            threading.Thread(target=self._look, name="superset-ext-sentinel", daemon=True).start()
        return super().ask(commands, deadline, weigh)

    def _look(self) -> None:
        try:
            address = self._primary.address()
        except RedisError:
            return  # while nobody can tell, the one that answers is the best there is
        if address != self._address:
            self._address = address
            self._pool.leave()
