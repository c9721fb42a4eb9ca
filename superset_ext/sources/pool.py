"""A pool whose connections are as new whenever they are taken.

A connection that comes back has settings, temporary tables and locks of the query that it was for. It is handed to a
thread that discards them (`cleaner`), so that nobody waits for that, and is taken again only afterwards.
"""

from __future__ import annotations

import re
import select
import threading
import time
from typing import Any, Protocol

from sqlalchemy.pool import Pool

from superset_ext.cache.sent import under_way

# A parameter with a dot in its name that was set once is empty ever after in a session of PostgreSQL, not absent.
_OWN_PARAMETER = re.compile(r"\bset_config\s*\(|\bset\s+(session\s+|local\s+)?\"?\w+\"?\s*\.", re.IGNORECASE)


class Cleaner(Protocol):
    """What discards the state of a connection, and then gives it to `pool.ready` or closes it."""

    def take(self, pool: KeptPool, record: Any) -> None:
        """Clean it soon."""
        ...


class KeptPool(Pool):  # type: ignore[misc]
    """Connections of one URL that wait to be used again; it never makes anybody wait for one.

    Attributes:
        cleaner: of this process.
        most: connections that wait or are cleaned; one that comes back to more of them is closed.
    """

    cleaner: Cleaner
    most: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The cleaner ends the transaction of a query, too, so that nobody waits for that round trip.
        super().__init__(*args, **{**kwargs, "reset_on_return": None})
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Any]] = []  # since when, the longest first
        self._cleaning = 0
        self._retired = False

    def _do_get(self) -> Any:
        while record := self._latest():
            if _is_alive(record.dbapi_connection):
                return record
            record.close()
        return self._create_connection()

    def _latest(self) -> Any:
        with self._lock:
            return self._idle.pop()[1] if self._idle else None

    def _do_return_conn(self, record: Any) -> None:
        can_be_clean = record.dbapi_connection is not None and _is_cleanable()
        with self._lock:
            kept = can_be_clean and not self._retired and self._waiting() < self.most
            self._cleaning += kept
        if not kept:
            record.close()
            return
        try:
            self.cleaner.take(self, record)
        except RuntimeError:  # no thread can be started: the process ends, or has too many
            self.ready(record, is_clean=False)

    def _waiting(self) -> int:
        return len(self._idle) + self._cleaning

    def ready(self, record: Any, is_clean: bool) -> None:
        """A connection was cleaned, or could not be: it waits for its next use, or is closed."""
        with self._lock:
            self._cleaning -= 1
            kept = is_clean and not self._retired
            if kept:
                self._idle.append((time.monotonic(), record))
        if not kept:
            record.close()

    def expire(self, seconds: float) -> bool:
        """Close what has waited for so long; whether any waits still."""
        until = time.monotonic() - seconds
        with self._lock:
            old = [record for since, record in self._idle if since <= until]
            self._idle = [(since, record) for since, record in self._idle if since > until]
            waits = bool(self._waiting())
        for record in old:
            record.close()
        return waits

    def retire(self) -> None:
        """Close what waits, and from now on whatever comes back."""
        self._retired = True
        self.expire(0)

    def recreate(self) -> KeptPool:
        """A new pool as this one was made; SQLAlchemy asks for it when a connection has broken."""
        self.logger.info("Pool recreating")
        return self.__class__(
            self._creator,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Close what waits; SQLAlchemy calls it."""
        self.retire()

    def status(self) -> str:
        """How many wait and are cleaned, in words."""
        return f"{len(self._idle)} connections wait, {self._cleaning} are being cleaned"


def _is_cleanable() -> bool:
    """Whether no statement of the query under way has made a name that its session keeps."""
    sent = under_way.get()
    return sent is not None and not any(map(_OWN_PARAMETER.search, sent.statements))


def _is_alive(connection: Any) -> bool:
    """Whether nothing has come over an idle connection, which would be its end; asked without a round trip."""
    if connection is None or connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLPRI)
    return not poll.poll(0)
