"""Runs what a finding advises, where that blocks neither readers nor writers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.freshness.watch.source import connect
from superset_ext.plans.upkeep.check import Action, Finding

LOCK_SECONDS = 5  # that each step waits for a lock; ANALYZE and VACUUM take one that readers and writers do not mind
_LIMITS = "SET lock_timeout = '{lock}s'; SET statement_timeout = '{seconds}s'"


@dataclass(frozen=True, slots=True)
class Done:
    """How one statement went; `error` is why it did not, else empty."""

    command: str
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"command": self.command, "error": self.error or None}


def actions(findings: Sequence[Finding]) -> list[str]:
    """The statements that may be run, each once, in the order of the findings."""
    return list(dict.fromkeys(finding.command for finding in findings if finding.action is not None))


def run(app: Any, database_id: int, commands: Sequence[str], seconds: int) -> Iterator[Done]:
    """Run statements of `actions` one after the other, each in its own transaction; one that fails stops no other.

    Args:
        seconds: that each may take.

    Raises:
        WatchError: the source cannot be connected to.
    """
    with connect(app, database_id) as connection:
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_LIMITS.format(lock=LOCK_SECONDS, seconds=seconds))
        for command in commands:
            yield Done(command, _error(connection, command))


def _error(connection: Any, command: str) -> str:
    del connection.notices[:]
    try:
        with connection.cursor() as cursor:
            cursor.execute(command)
    except psycopg2.Error as error:
        left = "; it may have left an index that is not valid, which superset perf indexes names"
        return first_line(error) + (left if command.startswith(Action.REINDEX) else "")
    # Of a table that is not the role's own, PostgreSQL only warns, and does nothing.
    return next((notice.partition(":")[2].strip() for notice in connection.notices if notice.startswith("WARNING")), "")
