"""What the kinds of recommendations look at, and what they hand back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.core.log_database import LogDatabase, all_rows
from superset_ext.settings import Settings

DAYS = 7  # looked back over: a week has all days and hours
SECONDS = 60.0  # that a statement may take

_FIRST = """
SELECT extract(epoch FROM %(now)s - min(at))::float8 / 86400 AS days FROM (
    SELECT min(created_at) AS at FROM superset_ext.cache_performance_log
    UNION ALL SELECT min(hour) FROM superset_ext.cache_hourly) AS first
"""
_NAMES = "SELECT kind, id, name FROM superset_ext.object_name"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and the query that gave them, as it runs in psql."""

    sql: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Something to set.

    Attributes:
        kind: of what sort it is.
        subject: what it is about, as `dataset:12`, and `name`, what people call it.
        finding: what was found, in a sentence.
        numbers: the figures that it stands on; `sql`: the query that gave them, among other rows.
        set_: what to set: a setting with its value, or a command.
        seconds: database seconds a day that it should bring, an estimate.
        brings: that in words, or what else it brings.
    """

    kind: str
    subject: str
    name: str
    finding: str
    numbers: Mapping[str, Any]
    sql: str
    set_: str
    seconds: float
    brings: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times are texts."""
        return {
            "kind": self.kind, "subject": self.subject, "name": self.name, "finding": self.finding,
            "evidence": {"numbers": {key: _plain(value) for key, value in self.numbers.items()}, "sql": self.sql},
            "set": self.set_, "brings": self.brings, "estimated_seconds_a_day": round(self.seconds, 1),
        }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | list | None) else float(value)


@dataclass(frozen=True)
class Facts:
    """What only Superset and the cache servers know.

    Attributes:
        servers: of each region, `None` where it does not answer.
        timeouts: seconds that people have set for datasets, by id, or for the databases of these.
        refreshing: dashboards that refresh by themselves, and every how many seconds.
        forces: whether such a refresh goes round the caches.
    """

    servers: Mapping[str, ServerInfo | None] = field(default_factory=dict)
    timeouts: Mapping[int, float] = field(default_factory=dict)
    refreshing: Mapping[int, int] = field(default_factory=dict)
    forces: bool = True


@dataclass(frozen=True)
class Look:
    """The log at one moment.

    Attributes:
        now: that moment.
    """

    database: LogDatabase
    settings: Settings
    now: datetime
    facts: Facts = field(default_factory=Facts)

    def ask(self, sql: str, **values: Any) -> Answer:
        """The rows of a query that may name `now` and `days`.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`.
        """
        with self.database.transaction(SECONDS) as cursor:
            statement = cursor.mogrify(sql, {"now": self.now, "days": DAYS, **values}).decode()
            cursor.execute(statement)
            return Answer(statement.strip(), all_rows(cursor))

    def rows(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As `told.Ask` has it."""
        return self.ask(sql, **values).rows

    @cached_property
    def days(self) -> float:
        """Days that the figures are of; a log that is younger than a day counts as one, so that nothing is promised."""
        days = self.ask(_FIRST).rows[0]["days"]
        return min(max(float(days or 1), 1.0), float(DAYS))

    @cached_property
    def _names(self) -> Mapping[tuple[str, int], str]:
        return {(row["kind"], row["id"]): row["name"] for row in self.ask(_NAMES).rows}

    def name(self, kind: str, number: int) -> str:
        """What Superset calls an object, or its number."""
        return self._names.get((kind, number), f"#{number}")


Kind = Callable[[Look], Sequence[Recommendation]]


def brings(seconds: float, what: str = "database seconds a day") -> str:
    """The estimate in words."""
    return f"about {seconds:.0f} {what} (estimated)" if seconds >= 1 else f"less than one of the {what} (estimated)"
