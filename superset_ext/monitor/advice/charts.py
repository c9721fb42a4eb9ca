"""Charts whose results are too big to be stored, and dashboards that go round the caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.monitor.advice.look import ASKED, COST, Look, Recommendation, brings
from superset_ext.settings import PREFIX

TOO_LARGE_LEAST = 5  # in a week: somebody who exports all rows once does not count
FORCED_SHARE = 0.2  # of a dashboard's requests: a user who presses «Force refresh» now and then is below
FORCED_LEAST = 20
_MODE = "DASHBOARD_AUTO_REFRESH_MODE"

_TOO_LARGE = f"""{ASKED}, ratio AS (
    SELECT coalesce(sum(hits) / NULLIF(sum(hits + misses), 0), 0)::float8 AS hit_ratio
    FROM asked WHERE cache_type = 'chart_data' AND sets_too_large = 0
), rows AS (
    SELECT chart_id, max(rows)::bigint AS most_rows FROM superset_ext.query_performance_log
    WHERE created_at >= %(now)s - make_interval(days => %(days)s) AND created_at < %(now)s GROUP BY chart_id
)
SELECT chart_id, sum(sets_too_large)::bigint AS too_large, sum(hits + misses)::bigint AS requests,
    sum(response_ms_sum) / NULLIF(sum(response_count), 0) / 1000 AS seconds_an_answer,
    min(ratio.hit_ratio) AS hit_ratio, min(rows.most_rows) AS most_rows
FROM asked LEFT JOIN rows USING (chart_id) CROSS JOIN ratio
WHERE cache_type = 'chart_data' AND chart_id <> 0
GROUP BY chart_id HAVING sum(sets_too_large) >= %(least)s ORDER BY too_large DESC
"""  # noqa: S608  (only constants)
_FORCED = f"""{ASKED}
SELECT dashboard_id, sum(miss_forced)::bigint AS forced, sum(hits + misses)::bigint AS requests,
    round(sum(miss_forced) / sum(hits + misses), 3)::float8 AS share, {COST} AS seconds_an_answer
FROM asked WHERE cache_type = 'chart_data' AND dashboard_id <> 0 AND channel <> 'warm'
GROUP BY dashboard_id
HAVING sum(miss_forced) >= %(least)s AND sum(miss_forced) >= %(share)s * sum(hits + misses) ORDER BY forced DESC
"""  # noqa: S608  (only constants)


def too_large(look: Look) -> list[Recommendation]:
    """Charts whose answers are computed each time, since they are above the cap of rows or bytes."""
    asked = look.ask(_TOO_LARGE, least=TOO_LARGE_LEAST)
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
    asked = look.ask(_FORCED, least=FORCED_LEAST, share=FORCED_SHARE)
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
