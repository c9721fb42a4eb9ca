"""The world of `testing/sharing.py` with asynchronous queries: a web server and a worker of their own over HTTP, which
users and guests of embedded dashboards ask.

Runs in a process with a Superset app (see `testing/superset_app.py`), which changes the rules and says, without a cache
and without a worker, what is right.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import jwt
import requests

from testing.serving import Client, web, worker
from testing.sharing import PEOPLE, RULES, World
from testing.sharing_http import EMBEDDED, PATH, Web, guest, guest_identity, page, warm
from testing.warming import PATIENCE

NAMES = ("deep3", "joined", "other.borrowed", "by_rule", "over_asked")
CHANNEL_SECRET = "a-secret-of-the-test-that-is-long-enough"
CONFIG = """
import os

SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = os.environ["METADATA"]
TALISMAN_ENABLED = False
{guests}
FEATURE_FLAGS["GLOBAL_ASYNC_QUERIES"] = True
GLOBAL_ASYNC_QUERIES_JWT_SECRET = {channel_secret!r}
GLOBAL_ASYNC_QUERIES_TRANSPORT = "polling"
GLOBAL_ASYNC_QUERIES_CACHE_BACKEND = {{
    "CACHE_TYPE": "RedisCache", "CACHE_REDIS_HOST": "127.0.0.1", "CACHE_REDIS_PORT": {port}, "CACHE_REDIS_DB": 9,
}}
from superset_ext.config import *
"""


@dataclass
class Guest:
    """A guest of an embedded dashboard, with a channel to hear of jobs.

    The channel's token is made here: Superset gives a guest one without a subject, which PyJWT refuses from 2.10 on.
    """

    base: str
    headers: dict[str, str]
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        claims = {"channel": str(uuid.uuid4()), "sub": "guest"}
        cookie = f"async-token={jwt.encode(claims, CHANNEL_SECRET, algorithm='HS256')}"
        self.http.headers.update({"Connection": "close", "Cookie": cookie, **self.headers})
        self.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get(self, path: str) -> requests.Response:
        return self.http.get(f"{self.base}{path}", timeout=120)

    def post(self, path: str, json: Any) -> requests.Response:
        return self.http.post(f"{self.base}{path}", json=json, timeout=120)


class Asynchronous:
    """Users and guests who ask the web server.

    Attributes:
        asked: how many answers there were.
        at_once: how many of them came from the cache, without a worker.
        by_worker: how many a worker had to compute.
        refused: how many of the right ones are a refusal.
        different: case, who, request, the answer and the right one, where they differ.
    """

    def __init__(self, world: World, base: str) -> None:
        self.oracle, self.base = Web(world), base
        self.clients: dict[str, Any] = {user: Client(base, user, "inside-1!") for user in PEOPLE}
        self.headers = dict(self.oracle.headers)
        self.asked = self.at_once = self.by_worker = self.refused = 0
        self.different: list[Any] = []

    def welcome(self, user: str, dashboard: str) -> str:
        """The name of a guest of an embedded dashboard, who asks from now on."""
        name = f"guest {user} of {dashboard}"
        self.headers[name] = guest(user, dashboard, [])
        self.clients[name] = Guest(self.base, self.headers[name])
        return name

    def check(self, case: str, who: str, body: dict[str, Any], force: bool = False) -> bool:
        """Compare an answer with what Superset without a cache says now; whether it came without a worker."""
        answer, is_at_once = self._answer(self.clients[who], body | {"force": force})
        self._compare(case, who, body, answer)
        return is_at_once

    def together(self, case: str, names: Iterable[str], body: dict[str, Any]) -> None:
        """All ask at the same time for what nobody may share with the others, and no cached answer will do."""
        names = list(names)
        with ThreadPoolExecutor(len(names)) as threads:
            answers = list(threads.map(lambda who: self._answer(self.clients[who], body | {"force": True}), names))
        for who, (answer, _) in zip(names, answers, strict=True):
            self._compare(case, who, body, answer)

    def _compare(self, case: str, who: str, body: Any, answer: Any) -> None:
        right = self.oracle.right(self.headers[who], body)
        self.asked += 1
        self.refused += isinstance(right[0], int)
        if answer != right:
            self.different.append([case, who, body, answer, right])

    def _answer(self, client: Any, body: Any) -> tuple[Any, bool]:
        response = client.post(PATH, json=body)
        is_at_once = response.status_code == 200
        if response.status_code == 202:
            self.by_worker += 1
            response = client.get(self._finished(client, response.json()["job_id"]))
        self.at_once += is_at_once
        if response.status_code != 200:
            return [response.status_code, response.text[:200]], False
        results = response.json()["result"]
        return [{name: result.get(name) for name in ("data", "annotation_data")} for result in results], is_at_once

    def _finished(self, client: Any, job: str) -> str:
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


def by_rules(people: Asynchronous) -> None:
    """Everybody asks what is nested, twice, forced and at the same time, while a rule is added, changed and removed."""
    world = people.oracle.world
    for rule in (RULES[0], RULES[4], None):
        world.rule(rule)
        for name in NAMES:
            body = world.requests[name]
            for user in (*PEOPLE, *reversed(PEOPLE)):
                people.check(f"{rule}", user, body)
            people.check(f"{rule} forced", "u2", body, force=True)
            people.check(f"{rule} after a forced one", "u1", body)
            people.together(f"{rule} together", PEOPLE, body)


def by_guests(people: Asynchronous) -> None:
    """Likewise two guests of an embedded dashboard, and a user who asks the same."""
    world = people.oracle.world
    people.oracle.open_to_guests()
    pages = [page(world, name) for name in EMBEDDED]
    guests = {dashboard: [people.welcome(user, dashboard) for user in PEOPLE[:2]] for _, dashboard in pages}
    for rule in (RULES[0], RULES[4], None):
        world.rule(rule)
        for body, dashboard in pages:
            first, second = guests[dashboard]
            for who in (first, second, first, second, "u3"):
                people.check(f"embedded {rule}", who, body)
            people.check(f"embedded {rule} forced", second, body, force=True)
            people.check(f"embedded {rule} after a forced one", first, body)
            people.together(f"embedded {rule} together", (first, second, "u3"), body)


def warmed(people: Asynchronous) -> dict[str, bool]:
    """What is warmed for a user and for a guest; whether each is answered at once, and all others get their own."""
    from superset.extensions import security_manager

    from superset_ext.host.people import Identity

    world, at_once = people.oracle.world, {}
    world.rule(RULES[0])
    first = Identity(security_manager.find_user("u1").id)
    for name in NAMES:
        body = warm(world.app, world.requests[name], first)
        at_once[name] = people.check("warmed", "u1", body)
        people.check("warmed for u1", "u2", body)
    for name in EMBEDDED:
        body, dashboard = page(world, name)
        body = warm(world.app, body, guest_identity("u1", dashboard))
        own, other = (people.welcome(user, dashboard) for user in PEOPLE[:2])
        at_once[f"{name}, a guest"] = people.check("warmed", own, body)
        people.check("warmed for another guest", other, body)
    return at_once


def story(world: World, folder: Path, port: int, guests: str) -> dict[str, Any]:
    """All of it; what differed, how much was asked, and how.

    Args:
        guests: lines of the configuration that are about guests and flags, which both apps have.
    """
    config = folder / "asynchronous.py"
    config.write_text(
        CONFIG.format(secret=world.app.config["SECRET_KEY"], channel_secret=CHANNEL_SECRET, port=port, guests=guests)
    )
    env = {name: value for name, value in os.environ.items() if name.startswith(("SUPERSET_EXT_", "METADATA"))}
    Web(world)  # its roles are there before the web server reads them
    with (
        web(config, env, real=True) as base,
        worker(config, env, folder / "worker.log", real=True),
    ):
        people = Asynchronous(world, base)
        by_rules(people)
        by_guests(people)
        facts = {"warmed": warmed(people)}
    counts = {"asked": people.asked, "at once": people.at_once, "by worker": people.by_worker}
    return {"different": people.different, "refused": people.refused, **counts, **facts}
