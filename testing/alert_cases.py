"""What makes each built-in alert begin, and end."""

from __future__ import annotations

from contextlib import closing

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.alerts import evaluate as alerts
from superset_ext.monitor.alerts.events import Event
from testing.alerts import (
    SETTINGS,
    at,
    make_days,
    requests,
)  # fmt: skip

END = 60  # minutes after which all is well


def with_days(url: str) -> None:
    with closing(LogDatabase(url)) as made:
        made.apply_schema()
        make_days(made)


def evaluate(database: LogDatabase, minutes: float = 0) -> list[Event]:
    return alerts.evaluate(database, SETTINGS, at(minutes))


def poor(database: LogDatabase) -> None:
    requests(database, -1, 60, 140)


def good(database: LogDatabase) -> None:
    requests(database, END - 1, 95, 5)
