"""The upkeep of sources as rows, for the dashboards and the API: looked at once an hour, and never on a busy source."""

from __future__ import annotations

import json
import logging
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.within import within
from superset_ext.errors import AdviceError, SourceBusy, WatchError
from superset_ext.host.databases import databases_of_people
from superset_ext.plans.explain import refuse_busy
from superset_ext.plans.indexes.source import reading
from superset_ext.plans.looks import Looks, Topic
from superset_ext.plans.upkeep.check import Finding
from superset_ext.plans.upkeep.examine import Upkeep, examine
from superset_ext.settings import Settings

logger = logging.getLogger(__name__)

SECONDS = 60.0  # that a source may take
EVERY = 3_600.0  # seconds between two looks at a source
_LOCK = "LOCK TABLE superset_ext.upkeep_finding IN EXCLUSIVE MODE"
_GONE = "DELETE FROM superset_ext.upkeep_finding WHERE database_id <> ALL(%s)"
_BEFORE = "DELETE FROM superset_ext.upkeep_finding WHERE database_id = %s RETURNING kind, subject, since"
_KEEP = """
INSERT INTO superset_ext.upkeep_finding (
    database_id, place, since, kind, severity, subject, evidence, numbers, advice, command
) VALUES (%s, %s, coalesce(%s, now()), %s, %s, %s, %s, %s, %s, %s)
"""
_KEPT = """
SELECT database_id, at, since, kind, severity, subject, evidence, numbers, advice, command
FROM superset_ext.upkeep_finding
ORDER BY array_position(ARRAY['critical', 'warning', 'notice'], severity), database_id, place
"""


def look(app: Any, log: LogDatabase, settings: Settings, only_due: bool = False) -> int:
    """Look at each PostgreSQL source and keep what it needs; returns how many answered. Needs an app context.

    Of a source that does not answer, or is busy, what is known stays.

    Args:
        only_due: leave out those that were looked at of late.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    numbers = [number for number, _ in databases_of_people("postgresql")]
    with log.transaction() as cursor:
        cursor.execute(_GONE, (numbers,))
    turns = Looks(log, Topic.UPKEEP)
    turns.only(numbers)
    return sum(
        _look_at(app, log, settings, number, turns) for number in numbers if not only_due or turns.is_due(number)
    )


def _look_at(app: Any, log: LogDatabase, settings: Settings, number: int, turns: Looks) -> bool:
    try:
        upkeep = within(SECONDS, _examined, app, number, settings.plans_active)
    except (AdviceError, WatchError, SourceBusy, TimeoutError) as error:
        logger.info("superset_ext: the upkeep of database %d was not looked at: %s", number, error)
        turns.done(number, EVERY, str(error), looked=False)
        return False
    keep(log, number, upkeep)
    turns.done(number, EVERY, "; ".join(f"{item.kind}: {item.reason}" for item in upkeep.unseen))
    return True


def _examined(app: Any, number: int, most: int) -> Upkeep:
    with reading(app, number) as cursor:
        refuse_busy(cursor, most)
        return examine(cursor)


def keep(log: LogDatabase, number: int, upkeep: Upkeep) -> None:
    """Make the rows of a database these.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with log.transaction() as cursor:
        cursor.execute(_LOCK)
        cursor.execute(_BEFORE, (number,))
        since = {(kind, subject): at for kind, subject, at in cursor.fetchall()}
        for place, finding in enumerate(upkeep.findings, 1):
            cursor.execute(_KEEP, (number, place, since.get((finding.kind, finding.subject)), *_columns(finding)))


def _columns(finding: Finding) -> tuple[str, ...]:
    return (
        finding.kind, str(finding.severity), finding.subject, finding.evidence, json.dumps(dict(finding.numbers)),
        finding.advice, finding.command,
    )  # fmt: skip


def kept(log: LogDatabase) -> list[dict[str, Any]]:
    """What all databases need, the most urgent first.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return log.rows(_KEPT)
