"""Engines that outlive a query.

Superset makes an engine without a pool for each query, and most of a short query's time is then spent on connecting
and on what SQLAlchemy asks a server that it does not know. An engine of ours is kept for whoever asks with the same
final URL and parameters: after impersonation, somebody's `DB_CONNECTION_MUTATOR` and the catalog have had their say.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.pool import NullPool, Pool

from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.sources.cleaner import Cleaner
from superset_ext.sources.pool import KeptPool

LIFE_SECONDS = 300.0  # what a role's or a database's settings were changed to reaches charts after that at most
MOST_ENGINES = 64  # a process; with tokens that rotate, each is a new one
_DRIVERS = {"postgresql", "postgresql+psycopg2"}  # whose connections can be made as new
_EVENTS = ("connect", "first_connect", "checkout", "checkin", "reset", "invalidate", "close", "detach")


@dataclass(frozen=True, slots=True)
class _Kept:
    engine: Any
    born: float


class Engines:
    """The engines of this process.

    Args:
        idle_seconds: for which a connection waits to be used again.
        most: connections that wait, a URL.
    """

    def __init__(self, idle_seconds: float, most: int) -> None:
        cleaner = Cleaner(idle_seconds)
        self._pool_class = type("OurPool", (KeptPool,), {"cleaner": cleaner, "most": most})
        self._salt = os.urandom(16)
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin with none: a child shares no connection with its parent."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def engine(self, make: Callable[..., Any], url: Any, arguments: Mapping[str, Any]) -> Any:
        """What `make(url, **arguments)` would make, with a pool; or just that, where it cannot be kept.

        Raises:
            Exception: whatever `make` raises.
        """
        name = self._name(url, arguments)
        if name is None:
            return make(url, **arguments)
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or time.monotonic() - kept.born > LIFE_SECONDS:
                kept = self._replace(name, make(url, **{**arguments, "poolclass": self._pool_class}))
            self._kept.move_to_end(name)
        return kept.engine

    def _name(self, url: Any, arguments: Mapping[str, Any]) -> bytes | None:
        """What stands for a URL and its parameters; `None` where an engine of these cannot be kept."""
        rest = {name: value for name, value in arguments.items() if name != "poolclass"}
        plain = arguments.get("poolclass") is NullPool and set(rest) <= {"connect_args"}
        if not plain or url.drivername not in _DRIVERS or _is_listened_to():
            return None
        try:
            text = json.dumps([url.render_as_string(hide_password=False), rest], sort_keys=True)
        except (TypeError, ValueError):  # a function, an object: who knows what it does with each connection
            return None
        return hashlib.blake2b(text.encode(), key=self._salt, digest_size=32).digest()

    def _replace(self, name: bytes, engine: Any) -> _Kept:
        old = self._kept.pop(name, None)
        self._kept[name] = kept = _Kept(engine, time.monotonic())
        if old is None and len(self._kept) > MOST_ENGINES:
            old = self._kept.popitem(last=False)[1]
        if old is not None:
            old.engine.pool.retire()
        return kept


def _is_listened_to() -> bool:
    """Whether somebody does something with each new connection of any pool: what that sets would be discarded."""
    return any(getattr(Pool.dispatch, event)._clslevel.get(Pool) for event in _EVENTS)
