"""Charts whose results are too big to be stored, and dashboards that go round the caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.advice.look import Look, Recommendation, brings
from superset_ext.settings import PREFIX

TOO_LARGE_LEAST = 5  # in a week: somebody who exports all rows once does not count
FORCED_SHARE = 0.2  # of a dashboard's requests: a user who presses «Force refresh» now and then is below
FORCED_LEAST = 20
_MODE = "DASHBOARD_AUTO_REFRESH_MODE"


def too_large(look: Look) -> list[Recommendation]:
    """Charts whose answers are computed each time, since they are above the cap of rows or bytes."""
    asked = look.ask(query_text("charts_too_large"), least=TOO_LARGE_LEAST)
    return [_too_large(look, row, asked.sql) for row in asked.rows]


def _too_large(look: Look, row: Mapping[str, Any], sql: str) -> Recommendation:
    seconds = row["too_large"] * (row["seconds_an_answer"] or 0.0) * row["hit_ratio"] / look.days
    name = look.name("chart", row["chart_id"])
    finding = f"{row['too_large']} answers of the chart {name} were too big to be stored"
    return Recommendation(
        "result_too_large", f"chart:{row['chart_id']}", name, finding, row, sql, _cap(look, row["most_rows"]), seconds,
        brings(seconds),
    )  # fmt: skip


def _cap(look: Look, rows: int | None) -> str:
    """Which of the two caps it is over, where the log of queries knows how many rows it has."""
    settings = look.settings
    by_rows = f"{PREFIX}MAX_RESULT_ROWS above {settings.max_result_rows:,}"
    by_bytes = f"{PREFIX}MAX_ENTRY_BYTES above {settings.max_entry_bytes:,}"
    if rows is None:
        return f"a lower row limit in the chart, or {by_rows} or {by_bytes}"
    if rows > settings.max_result_rows:
        return f"a row limit of {settings.max_result_rows:,} or less in the chart, or {by_rows} (it has {rows:,})"
    return f"fewer rows or columns in the chart (it has {rows:,} rows), or {by_bytes}"


def forced(look: Look) -> list[Recommendation]:
    """Dashboards a good part of whose requests have the database asked anew."""
    asked = look.ask(query_text("dashboards_forced"), least=FORCED_LEAST, share=FORCED_SHARE)
    return [_forced(look, row, asked.sql) for row in asked.rows]


def _forced(look: Look, row: Mapping[str, Any], sql: str) -> Recommendation:
    number = row["dashboard_id"]
    name, every = look.name("dashboard", number), look.facts.refreshing.get(number)
    # What would have missed anyway is not won; half is a guess on the safe side.
    seconds = row["forced"] * row["seconds_an_answer"] * 0.5 / look.days
    finding = f"{row['share']:.0%} of the requests of the dashboard {name} go round the cache"
    by_itself = every is not None and look.facts.forces
    finding += f": it refreshes by itself every {every} s" if by_itself else ""
    fix = f'{_MODE} = "fetch" in superset_config.py: what changed is fresh anyway'
    if not by_itself:
        fix = "have the changes of its tables told (superset perf watch add), so that nobody needs «Force refresh»"
    numbers = dict(row) | ({"refreshes_every_s": every} if every else {})
    return Recommendation("forced", f"dashboard:{number}", name, finding, numbers, sql, fix, seconds, brings(seconds))
