"""What the answers of one request were made of, for whoever wants to give the same answer again.

Nothing is noted unless somebody has asked for it with `watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from superset_ext.cache.envelope import Envelope

Record = Mapping[str, Any]  # the arguments of Superset's event logger, by name


@dataclass(slots=True)
class Used:
    """What a request has used so far.

    Attributes:
        entries: the entries of chart data that were its answers, by their names in Redis.
        sources: Superset's datasources.
        queries: Superset's query objects; of the old charts, the viz.
        keep: says what is to be kept of a record of Superset's event log.
        records: what was kept of these.
        moments: what was told of the clock: how long ago a moment is, and the words for it.
        statements: what was sent to the metadata database; `None` where that is not noted.
        dashboards: ids of dashboards whose rows were read; `None` where contents of any may have been.
        spoiled: why its answer was not all in the cache and fresh; `None` while it was.
    """

    entries: dict[str, Envelope] = field(default_factory=dict)
    sources: list[Any] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)
    keep: Callable[[Record], Sequence[Record]] = lambda _: ()
    records: list[Record] = field(default_factory=list)
    moments: list[tuple[datetime, str]] = field(default_factory=list)
    statements: list[str] | None = None
    dashboards: set[int] | None = field(default_factory=set)
    spoiled: str | None = None

    def note(self, name: str, envelope: Envelope | None) -> None:
        """Note what a read of chart data came to: a fresh entry, or `None` where there was none."""
        if envelope is None:
            self.spoiled = "not in the cache, or old"
        else:
            self.entries[name] = envelope


# Of this context; `None` where nothing is noted, which is all that a read costs then.
watched: ContextVar[Used | None] = ContextVar("superset_ext_used", default=None)


def watch(keep: Callable[[Record], Sequence[Record]], *, with_statements: bool = False) -> Used:
    """Note what this context uses from now on, until `forget`; `keep` says what to keep of a record of the log."""
    used = Used(keep=keep, statements=[] if with_statements else None)
    watched.set(used)
    return used


def forget() -> None:
    """Note nothing any more."""
    watched.set(None)


def note_query(query: Any) -> None:
    """Note what a chart query asks."""
    used = watched.get()
    if used is not None:
        used.queries.append(query)


def spoil(why: str) -> None:
    """Note that something other than the cache has answered."""
    used = watched.get()
    if used is not None:
        used.spoiled = why
