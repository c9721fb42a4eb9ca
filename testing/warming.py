"""What tests of warming share: the command, the API, a stack that knows nothing, the tables."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import redis

from testing.programs import program
from testing.serving import Client

PATIENCE = 180.0  # seconds; a test that waits longer has failed
RUN_SECONDS = 800.0
WARM_UP = "/api/v1/performance/cache/warm-up"


def perf(stack: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`superset perf …`, as an administrator types it."""
    command = [program("superset"), "perf", *arguments]
    return subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)


def warm(stack: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`superset perf warm …`."""
    return perf(stack, "warm", *arguments)


def warm_up(client: Client, **targets: Any) -> dict[str, Any]:
    """The status of a run of these targets at its end, by the API."""
    started = client.post(WARM_UP, json=targets)
    assert started.status_code == 202, started.text
    path = f"{WARM_UP}/{started.json()['run_id']}"

    def ended() -> dict[str, Any] | None:
        status: dict[str, Any] = client.get(path).json()
        return status if status["state"] in ("done", "failed") else None

    status: dict[str, Any] = until(ended, RUN_SECONDS)
    return status


def warmed(client: Client, **targets: Any) -> dict[str, Any]:
    """The status of a run of these targets that has ended without a failure."""
    status = warm_up(client, **targets)
    assert (status["state"], status["failed"]) == ("done", 0), status
    return status


def cool(stack: Any) -> None:
    """As if the time of every chart's entry were over."""
    with closing(redis.Redis.from_url(f"{stack.redis_url}/3")) as client:
        client.flushdb()


def forget(stack: Any) -> None:
    """As if nobody had ever opened anything."""
    cool(stack)
    rows(
        stack,
        "TRUNCATE superset_ext.cache_request, superset_ext.cache_access_scope, superset_ext.cache_discovery",
    )


def rows(stack: Any, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query on the log database."""
    with closing(psycopg2.connect(stack.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The value of `condition` once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)
    return value
