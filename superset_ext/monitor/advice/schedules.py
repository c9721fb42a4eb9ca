"""Warming schedules: those that are missing, and those that warm for nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.advice.look import Look, Recommendation, brings
from superset_ext.settings import PREFIX, Schedule

WEEKS = 4  # looked back over
REGULAR_WEEKS = 3  # of these, in which the same hour of the week must have seen misses: chance does that seldom
MISSES_LEAST = 5  # in an hour: a dashboard has about as many charts
MIN_SECONDS = 5.0  # a day
MINUTES_BEFORE = 10  # the hour in which people come, so that the run has ended by then
RUNS_LEAST = 3  # settled ones, below which nothing is said of a schedule
RUNS_DAYS = 28
UNREAD_SHARE = 0.05  # entries that are read of those that are stored, up to which a schedule is for nobody
WAITED = "seconds a day that people would not wait for queries"

_Row = Mapping[str, Any]


def missing(look: Look) -> list[Recommendation]:
    """Dashboards whose first reader of an hour waits, at the same hours week after week."""
    asked = look.ask(query_text("dashboard_hours_missed"), days=WEEKS * 7, least=MISSES_LEAST, regular=REGULAR_WEEKS)
    hours: dict[tuple[int, int], list[_Row]] = defaultdict(list)
    for row in asked.rows:
        hours[row["dashboard_id"], row["hour"]].append(row)
    named = _named(look.settings.warm_schedules)
    best: dict[int, list[_Row]] = {}
    for (dashboard, _), rows in hours.items():
        if dashboard not in named and None not in named and _seconds(rows) > _seconds(best.get(dashboard, ())):
            best[dashboard] = rows
    return [_missing(look, rows, asked.sql) for rows in best.values() if _seconds(rows) >= MIN_SECONDS]


def _named(schedules: Iterable[Schedule]) -> set[int | None]:
    """Dashboards that a schedule names; `None` among them where one warms all."""
    every = list(schedules)
    return {number for schedule in every for number in schedule.dashboards} | {
        None for schedule in every if schedule.all_dashboards
    }


def _seconds(rows: Sequence[_Row]) -> float:
    """A day, over the week: warming spares the first reader of each answer, and later ones would hit anyway."""
    spared = (min(row["misses"], row["keys"] or row["misses"]) * row["seconds_an_answer"] for row in rows)
    return float(sum(spared)) / 7


def _missing(look: Look, rows: Sequence[_Row], sql: str) -> Recommendation:
    dashboard, hour, seconds = rows[0]["dashboard_id"], rows[0]["hour"], _seconds(rows)
    days = sorted(row["day"] for row in rows)
    name = look.name("dashboard", dashboard)
    finding = f"the dashboard {name} is opened on {len(days)} days of the week from {hour}:00 UTC on with "
    finding += f"{sum(row['misses'] for row in rows) / len(rows):.0f} misses in that hour"
    # The ten minutes before midnight are those of the day before.
    on = [day if hour else (day - 2) % 7 + 1 for day in days]
    cron = f"{60 - MINUTES_BEFORE} {(hour - 1) % 24} * * {_days(on)}"
    schedule = f'{{"name": "dashboard-{dashboard}", "cron": "{cron}", "targets": [], "dashboards": [{dashboard}]}}'
    numbers = {"days": days, "hour": hour, "misses_a_week": sum(row["misses"] for row in rows), "keys": rows[0]["keys"],
               "seconds_an_answer": rows[0]["seconds_an_answer"]}  # fmt: skip
    fix = f"add to {PREFIX}WARM_SCHEDULES: {schedule}"
    return Recommendation(
        "schedule_missing", f"dashboard:{dashboard}", name, finding, numbers, sql, fix, seconds, brings(seconds, WAITED)
    )


def _days(days: Sequence[int]) -> str:
    """Cron's days of the week, 0 for Sunday."""
    return "*" if len(days) == 7 else ",".join(str(day % 7) for day in sorted(days, key=lambda day: day % 7))


def unread(look: Look) -> list[Recommendation]:
    """Schedules that still run, and whose entries nobody reads."""
    asked = look.ask(query_text("schedule_entries_unread"), days=RUNS_DAYS, least=RUNS_LEAST, share=UNREAD_SHARE)
    running = {schedule.name for schedule in look.settings.warm_schedules}
    return [_unread(row, asked.sql) for row in asked.rows if row["schedule"] in running]


def _unread(row: _Row, sql: str) -> Recommendation:
    name, seconds = row["schedule"], (row["spent_seconds"] - row["saved_seconds"]) / row["days"]
    finding = (
        f"{row['entries_read']} of the {row['entries']} entries that {row['runs']} runs of the schedule {name} stored "
    )
    finding += "were read"
    fix = f"leave {name} out of {PREFIX}WARM_SCHEDULES, or have it run shortly before people come"
    return Recommendation("schedule_unread", f"schedule:{name}", name, finding, row, sql, fix, seconds, brings(seconds))
