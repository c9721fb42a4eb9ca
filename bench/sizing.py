"""How much room the package takes: entries, bytes, Redis memory and rows of the log, for 10, 100 and 1,000 dashboards.

Run with `python -m bench.sizing`; it starts a stack of its own, or takes the one that TEST_STACK names.

Measured: a browser opens the nine example dashboards twice, as one user. What that leaves in Redis and in the log is
counted, and the bytes of a row are those of many copies of it, with their indexes. Multiplied: the number of
dashboards, each of the mean size of the examples, and of times that each is opened a day.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import redis

from bench.faults import stack
from superset_ext.settings import Region, load
from testing.browser import Visit, browser
from testing.stack import RunningStack
from testing.warming import forget, rows

DASHBOARDS = (10, 100, 1_000)
VISITS = 50  # of each dashboard a day
COPIES = 20_000  # rows that the bytes of one are measured with
QUIET_SECONDS = 20.0  # in which nobody asks; a recorder flushes every five
MINUTES = 1_440  # of a day; a sample is taken in each
LOGS = ("cache_performance_log", "query_performance_log")
COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
DAILY_SAMPLES = "SELECT count(*) FROM superset_ext.{} WHERE at > now() - interval '10 minutes' GROUP BY at ORDER BY at"


@dataclass(frozen=True)
class Held:
    """What Redis holds of one region: entries, their bytes, and the server's own count of its memory for them."""

    entries: int
    bytes: int
    memory: int


@dataclass(frozen=True)
class Visited:
    """What one pass over all dashboards left in the log: chart results, and rows of each log."""

    results: int
    rows: Mapping[str, int]


def held(running: RunningStack, region: Region) -> Held:
    """What a region holds; its memory has its bookkeeping too."""
    settings = load({"SUPERSET_EXT_REDIS_URL": running.redis_url})
    prefix = settings.region(region).prefix.encode()
    client: Any = redis.Redis.from_url(settings.region_url(region))  # typed for asynchronous clients too
    with closing(client):
        keys = list(client.scan_iter(prefix + b"*"))
        own = [key for key in keys if not key.startswith(prefix + b"~")]
        memory = sum(client.memory_usage(key, samples=0) or 0 for key in keys)
        return Held(len(own), sum(client.strlen(key) for key in own), memory)


def counted(running: RunningStack) -> dict[str, int]:
    """Rows of each log."""
    return {name: int(rows(running, f"SELECT count(*) FROM superset_ext.{name}")[0][0]) for name in LOGS}


def settled(running: RunningStack) -> dict[str, int]:
    """Rows of each log, once nothing more is written."""
    before = counted(running)
    while True:
        time.sleep(QUIET_SECONDS)
        if (now := counted(running)) == before:
            return now
        before = now


def visited(running: RunningStack, visit: Visit) -> Visited:
    """Open every dashboard once, and what that wrote."""
    before = settled(running)
    answers = [answer for board in visit.dashboards() for answer in visit.open(board["id"])]
    after = settled(running)
    return Visited(sum(len(answer.ran_sql) for answer in answers), {name: after[name] - before[name] for name in LOGS})


def row_bytes(running: RunningStack, table: str) -> float:
    """Bytes of a row with its indexes, of many copies of those that are there."""
    ((columns,),) = rows(running, COLUMNS, (f"superset_ext.{table}",))
    ((size,),) = rows(
        running,
        f"CREATE TEMPORARY TABLE copies (LIKE superset_ext.{table} INCLUDING ALL) ON COMMIT DROP;"
        f"INSERT INTO copies ({columns}) SELECT {columns} FROM superset_ext.{table}, generate_series(1, {COPIES})"
        f" LIMIT {COPIES}; SELECT pg_total_relation_size('copies')",
    )
    return float(size) / COPIES


def sampled(running: RunningStack) -> int:
    """Rows that one minute's sample writes."""
    samples = [rows(running, DAILY_SAMPLES.format(name))[-1:] for name in ("cache_sample", "database_sample")]
    return sum(int(count) for counts in samples for (count,) in counts)


def run() -> dict[str, Any]:
    """What was measured, and the table that is multiplied from it."""
    with stack() as running, browser() as chromium:
        forget(running)
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), running.url)
        visit.login(running.user, running.password)
        boards = len(visit.dashboards())
        first, again = visited(running, visit), visited(running, visit)
        regions = {str(region): held(running, region) for region in Region}
        sizes = {name: row_bytes(running, name) for name in LOGS}
        samples = sampled(running)
    measured = {
        "dashboards": boards, "first_visit": asdict(first), "second_visit": asdict(again),
        "regions": {name: asdict(region) for name, region in regions.items()},
        "row_bytes": sizes, "rows_of_a_sample": samples,
    }  # fmt: skip
    return {"measured": measured, "multiplied": list(multiplied(boards, first, again, regions, sizes, samples))}


def multiplied(
    boards: int,
    first: Visited,
    again: Visited,
    regions: Mapping[str, Held],
    sizes: Mapping[str, float],
    samples: int,
) -> Iterator[dict[str, float]]:
    """The table: all regions together, each dashboard opened `VISITS` times a day, of which the first one misses."""
    for wanted in DASHBOARDS:
        share = wanted / boards
        daily = {name: share * (first.rows[name] + (VISITS - 1) * again.rows[name]) for name in LOGS}
        yield {
            "dashboards": wanted,
            "entries": round(share * sum(region.entries for region in regions.values())),
            "bytes": round(share * sum(region.bytes for region in regions.values())),
            "redis_memory": round(share * sum(region.memory for region in regions.values())),
            "log_rows_a_day": round(sum(daily.values())) + samples * MINUTES,
            "log_bytes_a_day": round(sum(daily[name] * sizes[name] for name in LOGS)),
        }


def main() -> None:
    """Print both and a line of JSON."""
    figures = run()
    measured = figures["measured"]
    print(f"measured: {measured['dashboards']} dashboards, each opened twice by one user")
    for which in ("first_visit", "second_visit"):
        print(f"  {which.replace('_', ' ')}: {measured[which]['results']} results, rows {measured[which]['rows']}")
    for name, region in measured["regions"].items():
        print(f"  {name}: {region['entries']} entries, {region['bytes']:,} bytes, {region['memory']:,} in Redis")
    print(f"  bytes a row: { {name: round(size) for name, size in measured['row_bytes'].items()} }")
    print(f"  rows of a minute's sample: {measured['rows_of_a_sample']}")
    print(f"multiplied, each dashboard opened {VISITS} times a day:")
    for row in figures["multiplied"]:
        print("  " + "  ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in row.items()))
    print(json.dumps({"sizing": figures}))


if __name__ == "__main__":
    main()
