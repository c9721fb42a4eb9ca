"""The schema `superset_ext_watch` on a source: making it, and taking turns with whoever else changes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from superset_ext.core.log_database import SQL
from superset_ext.errors import WatchError

PATIENCE = 3.0  # seconds that a change of triggers waits for a lock; writers wait behind it
FILES = tuple(sorted((SQL / "watch").glob("[0-9][0-9]_*.sql")))
_UNINSTALL = SQL / "watch" / "uninstall.sql"
_VERSION = re.compile(r"COMMENT ON SCHEMA superset_ext_watch IS '(.+)';")
_INSTALLED = "SELECT obj_description(to_regnamespace('superset_ext_watch'), 'pg_namespace')"
_TAKE_TURN = """
SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(hashtextextended('superset_ext_watch', 0))
"""


def take_turn(cursor: Any, patience: float = PATIENCE) -> None:
    """Let nobody else add or remove watches until the end of the transaction. Each of its locks may take `patience` s.

    Raises:
        psycopg2.Error: somebody else took more than `patience` seconds.
    """
    cursor.execute(_TAKE_TURN, (f"{patience * 1000:.0f}",))


def refuse_replica(cursor: Any) -> None:
    """Check that the server is a primary.

    Raises:
        WatchError: it is a replica.
    """
    cursor.execute("SELECT pg_is_in_recovery()")
    if cursor.fetchone()[0]:
        raise WatchError("it is a replica, where nobody writes or notifies; connect Superset to its primary")


def is_ready(cursor: Any) -> bool:
    """Whether the schema is there."""
    cursor.execute(_INSTALLED)
    return cursor.fetchone()[0] is not None


def make_ready(cursor: Any, patience: float = PATIENCE) -> None:
    """Take the turn, and make the schema if it is missing or of another version.

    Raises:
        WatchError: the source is a replica.
        psycopg2.Error: the source refused.
    """
    refuse_replica(cursor)
    take_turn(cursor, patience)
    files = [path.read_text(encoding="utf-8") for path in FILES]
    cursor.execute(_INSTALLED)
    if cursor.fetchone()[0] != _version(files):
        for text in files:
            cursor.execute(text)


def drop(cursor: Any) -> None:
    """Remove everything of ours from the source.

    Raises:
        psycopg2.Error: the source refused.
    """
    cursor.execute(_UNINSTALL.read_text(encoding="utf-8"))


def _version(files: Sequence[str]) -> str:
    match = _VERSION.search("\n".join(files))
    if match is None:
        raise WatchError(f"no files in {SQL / 'watch'}; mount the package's folder sql beside superset_ext")
    return match[1]
