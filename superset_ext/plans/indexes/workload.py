"""What a source was asked: the statements of the query log that took most of its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.indexes.generic import Plannable, plannable

DAYS = 7
MOST = 200  # statements, by their seconds; the rest hardly decides


@dataclass(frozen=True)
class Asked:
    """One statement, and what it took.

    Attributes:
        seconds: that all its calls took.
        charts: Superset's ids of those that asked it; and of datasets.
        statement: as it can be planned; `None` where it cannot.
    """

    fingerprint: str
    calls: int
    seconds: float
    statement: Plannable | None
    charts: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()


def workload(log: LogDatabase, database_id: int, days: int = DAYS) -> Sequence[Asked]:
    """The statements that a database was asked, those that took most first.

    Raises:
        LogUnavailable: the log does not answer.
    """
    rows = log.query("statements_of_database", {"database_id": database_id, "days": days, "most": MOST})
    return [
        Asked(
            row["fingerprint"], row["calls"], row["seconds"], plannable(row["sql"]), tuple(row["charts"]),
            tuple(row["datasets"]),
        )
        for row in rows
    ]  # fmt: skip
