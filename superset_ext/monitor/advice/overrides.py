"""What tuning has set, as rows of `setting_override`; and how each process hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from superset_ext.cache import tuned
from superset_ext.cache.tuned import Tuned
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.advice.told import Ask, told

Setting = Literal["timeout", "grace"]
EVERY_SECONDS = 30.0
_SUBJECT = "dataset:"
_ROWS = "SELECT subject, setting, value FROM superset_ext.setting_override WHERE subject LIKE 'dataset:%%'"
_PUT = """
INSERT INTO superset_ext.setting_override (subject, setting, value, at)
VALUES (%(subject)s, %(setting)s, %(value)s, %(now)s)
ON CONFLICT (subject, setting) DO UPDATE SET value = excluded.value, at = excluded.at RETURNING subject
"""
_DROP = """
DELETE FROM superset_ext.setting_override WHERE subject = %(subject)s AND setting = %(setting)s RETURNING subject
"""
_NOW = "SELECT now() AS now"


def subject(dataset_id: int) -> str:
    """What rows call a dataset."""
    return f"{_SUBJECT}{dataset_id}"


def dataset_of(name: str) -> int:
    """The other way."""
    return int(name.removeprefix(_SUBJECT))


def read(ask: Ask) -> dict[int, Tuned]:
    """What is set, by dataset."""
    by_dataset: dict[int, dict[str, float]] = {}
    for row in ask(_ROWS, {}):
        by_dataset.setdefault(dataset_of(row["subject"]), {})[row["setting"]] = float(row["value"])
    return {dataset_id: Tuned(**values) for dataset_id, values in by_dataset.items()}


def write(ask: Ask, dataset_id: int, setting: Setting, value: float | None, now: datetime) -> None:
    """Set seconds for a dataset; `None` goes back to what the settings say."""
    values = {"subject": subject(dataset_id), "setting": setting, "value": value, "now": now}
    ask(_DROP if value is None else _PUT, values)


class Overrides:
    """Brings what is set to where answers are stored, in the recorder's thread.

    Args:
        database: the log database.
        clock: seconds of a clock that goes on evenly.
    """

    def __init__(self, database: LogDatabase, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._next = float("-inf")

    def flush(self) -> None:
        """Look, if the last time was `EVERY_SECONDS` ago or earlier.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`; what was heard before holds a while longer.
        """
        if self._clock() < self._next:
            return
        heard: Mapping[int, Tuned] = read(self._database.rows)
        # Who tells is of interest only where something is set.
        tuned.put(heard, told(self._database.rows, self._database.rows(_NOW)[0]["now"]) if heard else ())
        self._next = self._clock() + EVERY_SECONDS
