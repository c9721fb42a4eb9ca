"""The main job: dashboards that people open are hits the second time, and the log says exactly so."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
FLUSHED_WITHIN = 180.0

Counts = Counter[tuple[int | None, int | None, str]]


def test_every_chart_answers_200(passes: Passes) -> None:
    """Intent: all nine dashboards work, in both passes."""
    assert Counter(a.status for a in passes.both) == {200: len(passes.both)}
    assert len(passes.first) == len(passes.second) >= 100


def test_the_second_pass_is_all_hits(passes: Passes) -> None:
    """Intent: whatever runs SQL is answered from the cache when it is asked again."""
    missed = [(a.dashboard_id, a.chart_id) for a in passes.second for r in a.ran_sql if not r["is_cached"]]
    assert missed == []


def test_the_log_counts_what_the_browser_asked(passes: Passes, superset_stack: Any) -> None:
    """Intent: hits and misses by dashboard and chart equal the browser's, neither more nor fewer."""
    engine = create_engine(superset_stack.database_url)
    with engine.connect() as connection:
        assert _logged(connection, passes, _asked(passes)) == _asked(passes)


def test_the_published_queries_run_unchanged(passes: Passes, superset_stack: Any) -> None:
    """Intent: monitoring that others have published works on our log, and its totals are the browser's."""
    engine = create_engine(superset_stack.database_url)
    asked = _asked(passes)
    with engine.connect() as connection:
        _logged(connection, passes, asked)
        by_type = connection.execute(text((ROOT / "sql/queries/published_by_type.sql").read_text())).mappings().all()
        assert {"chart_data", "metadata"} <= {row["cache_type"] for row in by_type}
        # The published query sums over all caches; a view of the charts' rows lets it count the charts alone.
        connection.execute(
            text(
                "CREATE TEMP VIEW cache_performance_log AS SELECT * FROM superset_ext.cache_performance_log"
                " WHERE cache_type = 'chart_data' AND created_at > CAST(:since AS timestamptz)".replace(
                    ":since", f"'{passes.since.isoformat()}'"
                )
                + f" AND dashboard_id IN ({', '.join(map(str, _dashboards(passes)))})"
            )
        )
        days = connection.execute(text((ROOT / "sql/queries/published_daily.sql").read_text())).mappings().all()
    totals = {"hit": sum(d["total_hits"] for d in days), "miss": sum(d["total_misses"] for d in days)}
    assert totals == {k: sum(n for (_, _, kind), n in asked.items() if kind == k) for k in totals}


def _asked(passes: Passes) -> Counts:
    return Counter(
        (a.dashboard_id, a.chart_id, "hit" if r["is_cached"] else "miss") for a in passes.both for r in a.ran_sql
    )


def _logged(connection: Connection, passes: Passes, expected: Counts) -> Counts:
    """The log's counts, once the recorders have flushed: when as many are there as are expected, or time is up."""
    deadline = time.monotonic() + FLUSHED_WITHIN
    while True:
        counts = _counts(connection, passes)
        if sum(counts.values()) >= sum(expected.values()) or time.monotonic() > deadline:
            return counts
        time.sleep(0.5)


def _dashboards(passes: Passes) -> list[int]:
    """Those of the passes: what another test asked a moment before is logged after it has ended."""
    return sorted({answer.dashboard_id for answer in passes.both})


def _counts(connection: Connection, passes: Passes) -> Counts:
    rows = connection.execute(
        text(
            "SELECT dashboard_id, chart_id, sum(cache_hits) AS hits, sum(cache_misses) AS misses"
            " FROM superset_ext.cache_performance_log"
            " WHERE cache_type = 'chart_data' AND created_at > :since AND dashboard_id = ANY(:dashboards) GROUP BY 1, 2"
        ),
        {"since": passes.since, "dashboards": _dashboards(passes)},
    ).mappings()
    counts: Counts = Counter()
    for row in rows:
        counts[(row["dashboard_id"], row["chart_id"], "hit")] += int(row["hits"])
        counts[(row["dashboard_id"], row["chart_id"], "miss")] += int(row["misses"])
    return +counts
