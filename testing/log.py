"""What the log says, once the recorders have flushed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

PATIENCE = 120.0
UNDEFINED_TABLE = ("42P01", "3F000")
COLUMNS = (
    "cache_hits", "cache_misses", "miss_cold", "miss_forced", "miss_disabled", "miss_error", "miss_rejected",
    "miss_evicted", "miss_expired", "sets", "sets_too_large", "sets_refused", "sets_memory", "errors",
)  # fmt: skip


def totals(url: str, **where: Any) -> Mapping[str, int]:
    """The sums of the counts of the rows that `where` names."""
    sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in COLUMNS)
    conditions = " AND ".join(f"{name} = :{name}" for name in where) or "true"
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            statement = f"SELECT {sums} FROM superset_ext.cache_performance_log WHERE {conditions}"
            row = connection.execute(text(statement), where).mappings().one()
            return {name: int(row[name]) for name in COLUMNS}
    except ProgrammingError as error:
        if error.orig.pgcode not in UNDEFINED_TABLE:
            raise
        return dict.fromkeys(COLUMNS, 0)  # no recorder has flushed yet, so nobody has made the tables
    finally:
        engine.dispose()


def awaited(
    url: str, done: Callable[[Mapping[str, int]], bool], seconds: float = PATIENCE, **where: Any
) -> Mapping[str, int]:
    """The totals as soon as they are `done`, or as they are when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        sums = totals(url, **where)
        if done(sums) or time.monotonic() > deadline:
            return sums
        time.sleep(0.2)
