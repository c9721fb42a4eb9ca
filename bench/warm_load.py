"""Warming at a time and one after another, and what people notice of it.

Run with `python -m bench.warm_load`; it starts a stack of its own, or takes the one that TEST_STACK names.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg2

from bench.faults import stack
from superset_ext.core.log_database import LogDatabase
from superset_ext.host.people import Identity
from superset_ext.settings import load
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, discovered_use
from superset_ext.warm.run import runs
from testing.charts import Chart, database_id, dataset_id
from testing.serving import Client
from testing.stack import RunningStack
from testing.warming import cool, rows, until, warm

REQUESTS = 500
AT_A_TIME = 8
LATENCIES = (0.5, 0.02)
ROUNDS, ROUND_SECONDS, PAUSE = 3, 15.0, 0.25
_WAIT = """
CREATE OR REPLACE FUNCTION public.{name}(number integer, seconds float) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_sleep(seconds);
    RETURN number;
END $$
"""


@contextmanager
def slow(running: RunningStack, client: Client, seconds: float) -> Iterator[int]:
    """A dataset of a source with this latency, and the registered requests over it; yields its id."""
    name = f"warm_wait_{uuid.uuid4().hex[:8]}"
    _source(running, _WAIT.format(name=name))
    database = database_id(client)
    body = {"database": database, "schema": "public", "table_name": name, "sql": "SELECT 1 AS n"}
    dataset = int(client.post("/api/v1/dataset/", json=body).json()["id"])
    _register(running, dataset, database, f"{name}({{number}}, {seconds})")
    try:
        yield dataset
    finally:
        client.http.delete(f"{client.base}/api/v1/dataset/{dataset}")
        _source(running, f"DROP FUNCTION public.{name}(integer, float)")


def _source(running: RunningStack, sql: str) -> None:
    with closing(psycopg2.connect(running.examples_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)


def _register(running: RunningStack, dataset: int, database: int, call: str) -> None:
    ((admin,),) = rows(running, "SELECT id FROM public.ab_user WHERE username = %s", (running.user,))
    uses = []
    for number in range(REQUESTS):
        body = Chart(dataset).body()
        metric = {"expressionType": "SQL", "sqlExpression": f"MAX({call.format(number=number)})", "label": "m"}
        body["queries"] = [{"columns": [], "metrics": [metric], "filters": [], "row_limit": 1}]
        request = ChartRequest("data", "/api/v1/chart/data", "", json.dumps(body))
        uses.append(discovered_use(request, Identity(admin), Ids(dataset=dataset, database=database)))
    with closing(LogDatabase(running.database_url)) as log:
        tables.write(log, load({}), uses)


def seconds_to_warm(running: RunningStack, dataset: int, at_a_time: int) -> float:
    """How long a run over all of them takes, every one from the source."""
    cool(running)
    limits = ("--concurrency", str(at_a_time), "--per-database", str(at_a_time))
    done = warm(running, "--datasets", str(dataset), *limits, "--wait", "--json")
    status = json.loads(done.stdout[done.stdout.index("{") :])
    assert (status["warmed"], status["failed"]) == (REQUESTS, 0), status
    return float(status["seconds"])


def people(running: RunningStack, client: Client, dataset: int, births: int) -> dict[str, float]:
    """The median of people's misses in milliseconds, in alternate rounds without and with a run at the defaults."""
    times: dict[str, list[float]] = {"alone": [], "with_warming": []}
    for number in range(ROUNDS):
        times["alone"] += _asked(client, births, 10_000 + number * 1000)
        cool(running)
        started = warm(running, "--datasets", str(dataset))
        run_id = started.stdout.rsplit(maxsplit=1)[-1].rstrip(".")
        until(partial(_warmed, running, run_id))
        times["with_warming"] += _asked(client, births, 20_000 + number * 1000)
        until(partial(_done, running, run_id), 300)
    return {name: round(statistics.median(values), 1) for name, values in times.items()}


def _asked(client: Client, births: int, first: int) -> list[float]:
    """Charts that nobody has asked for, one every quarter of a second."""
    times: list[float] = []
    until_then = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < until_then:
        started = time.perf_counter()
        answer = Chart(births, limit=first + len(times)).ask(client)
        times.append((time.perf_counter() - started) * 1000)
        assert answer.json()["result"][0]["is_cached"] is not True
        time.sleep(PAUSE)
    return times


def _state(running: RunningStack, run_id: str) -> dict[str, Any]:
    with closing(LogDatabase(running.database_url)) as log:
        return runs.status(log, run_id)


def _warmed(running: RunningStack, run_id: str) -> bool:
    return bool(_state(running, run_id)["warmed"])


def _done(running: RunningStack, run_id: str) -> bool:
    return bool(_state(running, run_id)["state"] == "done")


def run() -> dict[str, Any]:
    """Seconds by latency and number at a time, their ratios, and people's medians."""
    results: dict[str, Any] = {"requests": REQUESTS}
    with stack() as running:
        client = Client(running.url, running.user, running.password)
        births = dataset_id(client, "birth_names")
        for latency in LATENCIES:
            with slow(running, client, latency) as dataset:
                took = {n: seconds_to_warm(running, dataset, n) for n in (AT_A_TIME, 1)}
                results[f"{latency * 1000:.0f}_ms"] = {
                    "one_after_another_s": took[1], "at_a_time_s": took[AT_A_TIME],
                    "ratio": round(took[1] / took[AT_A_TIME], 2),
                }  # fmt: skip
                if latency == LATENCIES[-1]:
                    results["people_ms"] = people(running, client, dataset, births)
    medians = results["people_ms"]
    results["people_slowed_percent"] = round((medians["with_warming"] / medians["alone"] - 1) * 100, 1)
    return results


def main() -> None:
    """Print a table and a line of JSON."""
    results = run()
    for latency in LATENCIES:
        row = results[f"{latency * 1000:.0f}_ms"]
        print(f"{REQUESTS} requests, source {latency * 1000:.0f} ms: one after another {row['one_after_another_s']} s, "
              f"{AT_A_TIME} at a time {row['at_a_time_s']} s, {row['ratio']}×")  # fmt: skip
    print(f"people's misses: {results['people_ms']}, slowed by {results['people_slowed_percent']} %")
    print(json.dumps({"warm_load": results}))


if __name__ == "__main__":
    main()
