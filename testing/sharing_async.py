"""The world of `testing/sharing.py` with asynchronous queries: a web server and a worker of their own over HTTP.

Runs in a process with a Superset app (see `testing/superset_app.py`), which changes the rules and says, without a cache
and without a worker, what is right.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from testing.serving import Client, web, worker
from testing.sharing import PEOPLE, RULES, World
from testing.sharing_http import PATH, Web, _shown
from testing.warming import PATIENCE

NAMES = ("deep3", "joined", "other.borrowed", "by_rule", "over_asked")
CONFIG = """
import os

SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = os.environ["METADATA"]
TALISMAN_ENABLED = False
FEATURE_FLAGS = {{"GLOBAL_ASYNC_QUERIES": True, "ENABLE_TEMPLATE_PROCESSING": True, "ALLOW_ADHOC_SUBQUERY": True}}
GLOBAL_ASYNC_QUERIES_JWT_SECRET = "a-secret-of-the-test-that-is-long-enough"
GLOBAL_ASYNC_QUERIES_TRANSPORT = "polling"
GLOBAL_ASYNC_QUERIES_CACHE_BACKEND = {{
    "CACHE_TYPE": "RedisCache", "CACHE_REDIS_HOST": "127.0.0.1", "CACHE_REDIS_PORT": {port}, "CACHE_REDIS_DB": 9,
}}
from superset_ext.config import *
"""


class Asynchronous:
    """Logged-in people who ask the web server.

    Attributes:
        asked: how many answers there were.
        at_once: how many of them came from the cache, without a worker.
        by_worker: how many a worker had to compute.
        different: case, user, request, the answer and the right one, where they differ.
    """

    def __init__(self, world: World, base: str) -> None:
        self.oracle = Web(world)
        self.clients = {user: Client(base, user, "inside-1!") for user in PEOPLE}
        self.asked = self.at_once = self.by_worker = 0
        self.different: list[Any] = []

    def check(self, case: str, name: str, user: str, force: bool = False) -> None:
        """Compare an answer with what Superset without a cache says now."""
        body = self.oracle.world.requests[name]
        answer = self._answer(self.clients[user], body | {"force": force})
        with self.oracle.world.no_cache():
            right = _shown(self.oracle.call(self.oracle.headers[user], "POST", PATH, body))[0]
        self.asked += 1
        if answer != right:
            self.different.append([case, name, user, answer, right])

    def _answer(self, client: Client, body: Any) -> Any:
        response = client.post(PATH, json=body)
        if response.status_code == 202:
            self.by_worker += 1
            response = client.get(self._finished(client, response.json()["job_id"]))
        elif response.status_code == 200:
            self.at_once += 1
        if response.status_code != 200:
            return [response.status_code, response.text[:200]]
        results = response.json()["result"]
        return [{name: result.get(name) for name in ("data", "annotation_data")} for result in results]

    def _finished(self, client: Client, job: str) -> str:
        """Where the result of a job is, once the worker has said so."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            events = client.get("/api/v1/async_event/").json()["result"]
            for event in (event for event in events if event["job_id"] == job):
                if event["status"] == "done":
                    return str(event["result_url"])
                assert event["status"] in ("pending", "running"), event
            time.sleep(0.05)
        raise AssertionError("the worker did not finish the chart in time")


def story(world: World, folder: Path, port: int) -> dict[str, Any]:
    """Everybody asks what is nested, twice and forced, while a row-level rule is added, changed and removed."""
    config = folder / "asynchronous.py"
    config.write_text(CONFIG.format(secret=world.app.config["SECRET_KEY"], port=port))
    env = {name: value for name, value in os.environ.items() if name.startswith(("SUPERSET_EXT_", "METADATA"))}
    Web(world)  # its roles are there before the web server reads them
    with (
        web(config, env, real=True) as base,
        worker(config, env, folder / "worker.log", real=True),
    ):
        people = Asynchronous(world, base)
        for rule in (RULES[0], RULES[4], None):
            world.rule(rule)
            for name in NAMES:
                for user in (*PEOPLE, *reversed(PEOPLE)):
                    people.check(f"{rule}", name, user)
                people.check(f"{rule} forced", name, "u2", force=True)
                people.check(f"{rule} after a forced one", name, "u1")
    counts = {"asked": people.asked, "at once": people.at_once, "by worker": people.by_worker}
    return {"different": people.different, **counts}
