"""No request that began after a change was told is given what is older, whatever happens in between.

Processes of a whole app answer charts and documents to several people and a guest, with grants, while tables, names,
metrics and rights change, entries expire and are evicted, and Redis and the processes themselves are killed.
`GRANTS_STEPS=100000 GRANTS_COUNTS=FILE pytest tests/integration/test_grants_machine.py -m thorough` makes so many, and
writes into the file how far it is, and leaves out more rules; `GRANTS_SEED` chooses others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.grants_app import run_in_app
from testing.grants_faults import FAULTS
from testing.grants_site import ENVIRONMENT
from testing.regions import client_of

pytestmark = [pytest.mark.timeout(20_000), pytest.mark.thorough]  # they are off, which test_grants_off.py looks at
STEPS = int(os.environ.get("GRANTS_STEPS", "200"))
LEFT_OUT = tuple(FAULTS) if "GRANTS_STEPS" in os.environ else ("stamps", "marks of documents")
SEED = int(os.environ.get("GRANTS_SEED", "4"))
ENOUGH = 5_000  # steps in which a fault is noticed, or never is
START = """
import logging
logging.disable(logging.ERROR)  # Redis is killed
from testing import grants_machine, grants_site
site = grants_site.Site(world, os.environ["SUPERSET_EXT_REDIS_URL"])
"""
RUNS = """
results = {{
    "run": grants_machine.run(site, {seed}, {steps}),
    "faults": {{fault: grants_machine.run(site, {seed}, {enough}, fault) for fault in {faults}}},
}}
"""
SCRIPT = START + RUNS.format(seed=SEED, steps=STEPS, enough=ENOUGH, faults=LEFT_OUT)


@pytest.fixture(scope="module")
def results(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What everything came to, in one app. Its Redis is killed, and others take its place; the last one ends here."""
    folder = tmp_path_factory.mktemp("machine")
    server = Valkey(folder / "valkey").start()
    url = server.url
    try:
        yield run_in_app(SCRIPT, postgres, server, folder, seconds=20_000, **ENVIRONMENT)
    finally:
        server.stop()
        with suppress(redis.RedisError):
            client_of(url).shutdown(nosave=True)


def test_nothing_that_is_given_again_is_older_than_what_was_told(results: dict[str, Any]) -> None:
    """Intent: charts and documents, to each of four; a 304, too, says that its bytes are of now."""
    run = results["run"]
    print(run)
    assert run["wrong"] == []
    assert run["errors"] == []
    assert run["steps"] == STEPS
    assert min(run["given"], 50 * run["unmodified"], 50 * run["changes"]) > STEPS / 10
    assert results["failures"] == {}


@pytest.mark.parametrize("fault", LEFT_OUT)
def test_a_rule_that_is_left_out_is_noticed(results: dict[str, Any], fault: str) -> None:
    """Intent: the machine looks where it hurts: at entries by stamps and ends, at marks, and when these were taken."""
    assert results["faults"][fault]["errors"] == []
    assert results["faults"][fault]["wrong"]
