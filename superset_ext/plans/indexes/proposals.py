"""Advice for indexes as it is kept: sources are asked once a day, off everybody's path; what they say is read here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.within import within
from superset_ext.errors import SupersetExtError
from superset_ext.host.databases import databases_of_people
from superset_ext.plans.explain import refuse_busy
from superset_ext.plans.indexes.advice_log import AdviceLog
from superset_ext.plans.indexes.advise import Advice, advise
from superset_ext.plans.indexes.source import reading
from superset_ext.plans.indexes.workload import Asked, workload
from superset_ext.plans.looks import Looks, Topic
from superset_ext.settings import Settings

logger = logging.getLogger(__name__)

SECONDS = 120.0  # that a source may take
DAY = 86_400.0
YOUNG = 900.0  # seconds between two looks while the log is younger than a day: each hour may show other statements
AGAIN = 3_600.0  # seconds until a source is asked again that was busy or away
_IS_YOUNG = """
SELECT coalesce(min(created_at) > now() - interval '1 day', true) AS young
FROM superset_ext.query_performance_log WHERE database_id = %s
"""
_GONE = "DELETE FROM superset_ext.advice_log WHERE state = 'proposed' AND database_id <> ALL(%s)"
_KEPT = """
SELECT database_id, database, state, reason, table_name, index_name, command, drop_command, seconds, reach_seconds,
    bytes, writes_a_day, wal_bytes_a_day, charts, datasets, chart_names, dataset_names, fingerprints, created_at,
    changed_at
FROM superset_ext.perf_index_advice ORDER BY place
"""


def look(app: Any, log: LogDatabase, settings: Settings, only_due: bool = True) -> int:
    """Ask each PostgreSQL source which indexes would help, and keep that; how many answered.

    Needs an app context. Of a source that does not answer, or is busy, what is known stays.

    Args:
        only_due: leave out those that were asked of late.

    Raises:
        LogUnavailable: the log does not answer.
    """
    numbers = [number for number, _ in databases_of_people("postgresql")]
    turns = Looks(log, Topic.INDEXES)
    turns.only(numbers)
    with log.transaction() as cursor:
        cursor.execute(_GONE, (numbers,))
    return sum(_look_at(app, log, settings, number) for number in numbers if not only_due or turns.is_due(number))


def _look_at(app: Any, log: LogDatabase, settings: Settings, number: int) -> bool:
    turns, rows, asked = Looks(log, Topic.INDEXES), AdviceLog(log, number), workload(log, number)
    rows.standing()  # of those that stand, what they have brought is worked out
    again = YOUNG if log.rows(_IS_YOUNG, (number,))[0]["young"] else DAY
    try:
        advice = within(SECONDS, _advised, app, number, asked, settings.plans_active) if asked else None
    except Exception as error:  # noqa: BLE001  (statements and drivers are other people's; a source hides no other)
        reason = str(error) if isinstance(error, SupersetExtError | TimeoutError) else type(error).__name__
        logger.info("superset_ext: no indexes were advised for database %d: %s", number, reason)
        turns.done(number, AGAIN, reason, looked=False)
        return False
    rows.propose(advice.proposals if advice else ())
    turns.done(number, again, "; ".join(advice.notes) if advice else "the log has no statement of it")
    return True


def _advised(app: Any, number: int, asked: Sequence[Asked], most: int) -> Advice:
    with reading(app, number) as cursor:
        refuse_busy(cursor, most)
        return advise(cursor, asked)


def kept(log: LogDatabase) -> list[dict[str, Any]]:
    """What is advised for all databases, and what became of it; what should bring most first.

    Raises:
        LogUnavailable: the log does not answer.
    """
    return log.rows(_KEPT)
