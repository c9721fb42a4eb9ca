"""Changes that nobody tells by hand: PostgreSQL's own word at the commit, and a probe's question."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from testing.freshness import READING, World, world
from testing.programs import program
from testing.warming import perf, rows, until

pytestmark = pytest.mark.timeout(900)
# In a process of its own: Superset's app is one a process.
PROBE = """
import json, sys
from superset.app import create_app
app = create_app()
with app.app_context():
    from superset_ext.freshness.probe.schedule import probe_now
    from superset_ext.freshness.tasks import stamp
    package = app.extensions["superset_ext"]
    for line in sys.stdin:
        outcomes = probe_now(package.database, package.settings.probes, stamp)
        states = [[outcome.state, outcome.stamped, outcome.error] for outcome in outcomes]
        print("SAID " + json.dumps(states), flush=True)
"""


@pytest.fixture(scope="module")
def orders(superset_stack: Any) -> Iterator[World]:
    with world(superset_stack) as made:
        yield made


def warmed(orders: World) -> dict[str, Any]:
    """What the charts show, once all are cached: of one change the listener may tell more than once."""

    def shown() -> dict[str, Any] | None:
        answers = {name: orders.look(name) for name in (*READING, "other")}
        return (
            {name: value for name, (_, value) in answers.items()} if all(hit for hit, _ in answers.values()) else None
        )

    return dict(until(shown))


def assert_fresh(orders: World, before: dict[str, Any], added: int) -> None:
    """All that show the table have the new numbers, and the other one is still a hit."""
    for name in READING:
        value = orders.look(name)[1]
        assert value != before[name] if name == "annotated" else value == before[name] + added, name
    assert orders.look("other") == (True, before["other"])


def test_a_committed_update_with_a_watch(orders: World) -> None:
    """Intent: triggers and the listener tell what was committed past Superset, at once; `remove` leaves nothing."""
    stack, name = orders.stack, f"public.{orders.orders}"
    done = perf(stack, "watch", "add", "examples", name)
    assert done.returncode == 0, done.stderr
    tag = f"table:{orders.database}:{name}"
    heard = "SELECT count(*) FROM superset_ext.cache_invalidation_log WHERE source = 'postgresql' AND %s = ANY(tags)"
    try:
        until(lambda: rows(stack, heard, (tag,))[0][0])  # what the stack's listener has not seen before has changed
        for added in (7, 8):
            before = warmed(orders)
            count = rows(stack, heard, (tag,))[0][0]
            one = "ctid = (SELECT min(ctid) FROM {orders})"
            orders.sql(f"UPDATE {{orders}} SET amount = amount + {added} WHERE {one}")
            until(lambda old=before: orders.look("table")[1] != old["table"])
            assert_fresh(orders, before, added)
            until(lambda old=count: rows(stack, heard, (tag,))[0][0] > old)
    finally:
        done = perf(stack, "watch", "remove", "examples", name)
    assert done.returncode == 0, done.stderr


def test_a_probe(orders: World) -> None:
    """Intent: the same answer touches nothing, another one drops what was read from the table."""
    probe = {"database": "examples", "table": f"public.{orders.orders}", "method": "count", "timeout": 300}
    probes = json.dumps([probe])
    command = [program("python"), "-c", PROBE]
    env = os.environ | orders.stack.env | {"SUPERSET_EXT_PROBES": probes}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin and asking.stdout

        def ask() -> Any:
            asking.stdin.write("\n")  # type: ignore[union-attr]
            asking.stdin.flush()  # type: ignore[union-attr]
            lines = iter(asking.stdout.readline, "")  # type: ignore[union-attr]
            return next(json.loads(line.removeprefix("SAID ")) for line in lines if line.startswith("SAID "))

        assert ask() == [["changed", True, None]]
        before = warmed(orders)
        assert ask() == [["unchanged", False, None]]
        assert {name: orders.look(name)[0] for name in before} == dict.fromkeys(before, True)
        orders.add(9)
        assert ask() == [["changed", True, None]]
        for name in READING:
            assert not orders.look(name)[0], name
        assert_fresh(orders, before, 9)
        asking.stdin.close()
