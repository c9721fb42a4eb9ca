"""The schema of the log database: the numbered files of `sql/schema`, applied in order, once each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from superset_ext.errors import LogUnavailable, SchemaError

logger = logging.getLogger(__name__)

SCHEMA = "superset_ext"
SCHEMA_SECONDS = 120.0  # that a statement of a schema file may take
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.schema', 0))"
_VERSION = "SELECT FROM pg_tables WHERE schemaname = 'superset_ext' AND tablename = 'schema_version'"
_CHECKSUM = "SELECT checksum FROM superset_ext.schema_version WHERE file = %s"
_APPLIED = "INSERT INTO superset_ext.schema_version (file, checksum) VALUES (%s, %s)"
_DAYS_LEFT = "SELECT superset_ext.create_day_partition(%s, superset_ext.utc_today() + ahead) FROM unnest(%s) AS ahead"

Transaction = Callable[[float], AbstractContextManager[Any]]


class Schema:
    """The schema files of one database.

    Args:
        folder: where they are.
        transaction: gives a cursor in a transaction whose statements may each take so many seconds.

    Raises:
        SchemaError: a file was changed after it was applied, or cannot be applied, or there are no files.
        LogUnavailable: the database does not answer.
    """

    def __init__(self, folder: Path, transaction: Transaction) -> None:
        self._folder = folder
        self._transaction = transaction

    def files(self) -> list[Path]:
        """The numbered files, in their order."""
        files = sorted(self._folder.glob("[0-9][0-9]_*.sql"))
        if not files:
            raise SchemaError(f"no schema files in {self._folder}; mount the package's folder sql beside superset_ext")
        return files

    def apply(self) -> list[str]:
        """Apply each file that is not applied yet, in a transaction of its own, and return their names.

        Any number of processes may do so at once: the first one works, the others wait, and then have nothing to do.
        """
        applied = [path.name for path in self.files() if self._apply(path)]
        with self._transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_DAYS_LEFT, ("cache_performance_log", [0, 1]))
        return applied

    def pending(self, seconds: float) -> list[str]:
        """The names of the files that are not applied yet; a statement may take `seconds`."""
        with self._transaction(seconds) as cursor:
            return [path.name for path in self.files() if not _is_applied(cursor, path.name, _checksum(path))]

    def _apply(self, path: Path) -> bool:
        checksum = _checksum(path)
        try:
            with self._transaction(SCHEMA_SECONDS) as cursor:
                cursor.execute(_LOCK)
                if _is_applied(cursor, path.name, checksum):
                    return False
                cursor.execute(path.read_text(encoding="utf-8"))
                cursor.execute(_APPLIED, (path.name, checksum))
        except LogUnavailable as error:
            if error.sqlstate is None:
                raise
            raise SchemaError(f"{path.name} could not be applied: {error}") from None
        logger.info("superset_ext: applied %s", path.name)
        return True


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_applied(cursor: Any, name: str, checksum: str) -> bool:
    cursor.execute(_VERSION)
    if cursor.fetchone() is None:
        return False
    cursor.execute(_CHECKSUM, (name,))
    row = cursor.fetchone()
    if row is not None and row[0] != checksum:
        raise SchemaError(f"{name} was changed after it was applied; restore it, and put the change into a new file")
    return row is not None
