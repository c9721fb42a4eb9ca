"""What PostgreSQL counts of what a session has changed, counted now: otherwise it does so up to a second later."""

from __future__ import annotations

import time
from typing import Any

_FORCED_SINCE = 150_000
# Before that, a session hands in with its first statement half a second after it last did, and a process of the
# server's writes what it was handed, to where all sessions read it, when one asks.
_IS_COUNTED = "SELECT pg_stat_get_snapshot_timestamp() > CAST(%s AS timestamptz) + interval '1 second'"


def count_now(cursor: Any) -> None:
    """Have what this session has changed be counted before this returns.

    Args:
        cursor: of a connection that commits by itself.
    """
    if cursor.connection.server_version >= _FORCED_SINCE:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        return
    cursor.execute("SELECT clock_timestamp()")
    (begin,) = cursor.fetchone()
    cursor.execute(_IS_COUNTED, (begin,))
    while not cursor.fetchone()[0]:
        time.sleep(0.02)
        cursor.execute(_IS_COUNTED, (begin,))
