"""The rows of Superset's `logs` that answers which are given again owe.

What Superset's own event logger would make of them is kept with the grant, and is logged as rows of other requests are:
where they wait for a thread that writes many together, these do too, in the same queue. Another event logger, which
somebody has configured, is called as Superset calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from superset_ext.host.event_logger import engine_of_logs, log_rows
from superset_ext.host.granting import is_stock_logger, log_json

Record = Mapping[str, Any]


class LogRows:
    """Logs what an event logger was told earlier, as if it were told now.

    Args:
        logger: Superset's event logger.

    Attributes:
        are_rows: whether what is kept are rows, and not what another logger is told.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.are_rows = is_stock_logger(logger)
        self._engine: Any = None

    @property
    def needs_no_request(self) -> bool:
        """Whether rows can be logged when their request has ended: once their engine is known, by a logger that is
        ours or stock's."""
        if self.are_rows and self._engine is None:
            self._engine = engine_of_logs()
        return self.are_rows

    def kept(self, record: Record) -> list[Record]:
        """What is to be kept of a record, the arguments that Superset gives to its event logger."""
        return _rows(record) if self.are_rows else [record]

    def tell(self, records: Sequence[Record], took_ms: float, referrer: str | None) -> None:
        """Log now what was kept of some records."""
        now = {"duration_ms": int(took_ms), "referrer": referrer}
        if not self.are_rows:
            for record in records:
                self._logger.log(**{**deepcopy(dict(record)), **now})  # it may change what it is given
            return
        rows = [{**record, **now, "dttm": datetime.utcnow()} for record in records]
        log_rows(self._logger, self._engine or engine_of_logs(), rows)


def _rows(record: Record) -> list[Record]:
    """The rows that Superset's own logger makes of a record."""
    records = record.get("records") or [payload for payload in [record.get("curated_payload")] if payload]
    return [
        {
            "action": record["action"],
            "json": log_json(part),
            "dashboard_id": record["dashboard_id"] or part.get("dashboard_id"),
            "slice_id": record["slice_id"] or part.get("slice_id"),
            "user_id": record["user_id"],
        }
        for part in records
    ]
