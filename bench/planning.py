"""Planning over 100,000 registered requests: seconds, and memory on top of the process.

Run with `python -m bench.planning`; it starts a PostgreSQL and a Valkey of its own.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.settings import Targets, load
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.plan import plan
from superset_ext.warm.run.targets import Resolved

ROWS = 100_000
# A registry as it is after weeks: each request used in some hours of the week, a tenth of it cached.
FILL = f"""
INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, body, is_form, replayable, dashboard_id,
    chart_id, dataset_id, database_id, queries, uses, used_at, hours, first_seen, last_seen, cost_ms)
SELECT md5(n::text), 'data', '/api/v1/chart/data', '', repeat('x', 3000), false, true, n % 500,
    n % 5000, n % 900, n % 7, 1,
    random() * 50, now() - random() * interval '20 days',
    ARRAY(SELECT (CASE WHEN random() < 0.2 THEN random() * 5 + 0 * n ELSE 0 END)::real FROM generate_series(1, 168)),
    now() - interval '40 days', now(), random() * 3000
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO superset_ext.cache_access_scope (fingerprint, access_scope, cache_keys, identity, user_id, uses, used_at)
SELECT md5(n::text), md5('s' || n), ARRAY[md5('k' || n)], 'user:1', 1, 1, now() FROM generate_series(1, {ROWS}) AS n;
ANALYZE superset_ext.cache_request; ANALYZE superset_ext.cache_access_scope;
"""
CASES: dict[str, dict[str, Any]] = {
    "common_queries, the default 50": {"targets": ["common_queries"]},
    "common_queries, all 100,000": {"targets": ["common_queries"], "limit": ROWS},
}


def measured(url: str, valkey: str, case: dict[str, Any]) -> dict[str, Any]:
    """One planning in a process of its own, as a worker does it, and the run with its items as rows."""
    command = [sys.executable, "-m", "bench.planning", url, valkey, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def planned(url: str, valkey: str, case: dict[str, Any]) -> dict[str, Any]:
    """Seconds to plan and to write the items, and the memory that it took at its highest, in MiB."""
    settings = load({"SUPERSET_EXT_REDIS_URL": valkey})
    database, region = LogDatabase(url), ChartCache(settings=settings)
    options = Targets.model_validate(case)
    region.seconds_left(["warm-up"])
    database.rows("SELECT 1")
    before, started = _peak(), time.perf_counter()
    made = plan(database, settings, options, Resolved(), lasting=3600.0, seconds_left=region.seconds_left)
    seconds = time.perf_counter() - started
    run_id, _ = runs.create(database, options, "bench")
    with database.transaction(60.0) as cursor:
        items.add(cursor, run_id, made.items)
    both = time.perf_counter() - started
    return {
        "items": len(made.items), "plan_seconds": round(seconds, 2), "with_items_written": round(both, 2),
        "peak_mib_added": round(_peak() - before, 1),
    }  # fmt: skip


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run() -> dict[str, Any]:
    """Each case by its name."""
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        postgres, valkey = Postgres(Path(folder) / "pg").start(), Valkey(Path(folder) / "vk").start()
        try:
            url = postgres.create_database("planning")
            database = LogDatabase(url)
            database.apply_schema()
            with database.transaction(300.0) as cursor:
                cursor.execute(FILL)
            database.close()
            return {name: measured(url, valkey.url, case) for name, case in CASES.items()}
        finally:
            valkey.stop()
            postgres.stop()


def main() -> None:
    """Print a table and a line of JSON."""
    results = run()
    for name, row in results.items():
        print(f"{name:34} {row['items']:>7} items  plan {row['plan_seconds']:.2f} s  with the items written "
              f"{row['with_items_written']:.2f} s  {row['peak_mib_added']:.0f} MiB")  # fmt: skip
    print(json.dumps({"planning": results}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(planned(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
    else:
        main()
