"""Warming schedules, and the targets that a warming run may have."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from superset_ext.settings.values import PARSED_JSON, Cron, Name, Record, TimeZone, refuse_duplicates

Target = Literal["popular_dashboards", "frequently_accessed_charts", "common_queries"]
TARGETS: tuple[Target, ...] = get_args(Target)


class Targets(Record):
    """What a run warms; `all_dashboards` and the lists name things, `targets` picks them by use."""

    targets: tuple[Target, ...] = ()
    all_dashboards: bool = False
    dashboards: tuple[int, ...] = ()
    charts: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    limit: int = Field(50, ge=1, le=100_000, description="How many of what is used most each of targets picks")
    budget_seconds: float | None = Field(None, gt=0, description="Seconds of queries to spend, as expected")
    changed: tuple[str, ...] = ()  # answers that were read from these tags, as in `cache_invalidation_log.tags`
    concurrency: int | None = Field(None, ge=1, le=64, description="Requests at a time")
    per_database: int | None = Field(None, ge=1, le=256, description="Requests at a time to one source database")
    batch_size: int | None = Field(None, ge=1, le=1000, description="Items that a worker takes at a time")
    timeout: int | None = Field(None, ge=1, description="Seconds that one item may take")

    def is_empty(self) -> bool:
        """Whether it names nothing to warm."""
        named = (self.targets, self.dashboards, self.charts, self.datasets, self.tags, self.changed)
        return not self.all_dashboards and not any(named)


class Schedule(Targets):
    """A warming schedule."""

    name: Name
    cron: Cron = "0 2 * * *"
    timezone: TimeZone = "UTC"
    targets: tuple[Target, ...] = TARGETS


def _named_once(schedules: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
    refuse_duplicates((schedule.name for schedule in schedules), "schedule")
    return schedules


Schedules = Annotated[tuple[Schedule, ...], PARSED_JSON, AfterValidator(_named_once)]
NIGHTLY = '[{"name": "nightly", "cron": "0 2 * * *"}]'
