"""Requests of dashboards, answered by Superset's own statements and from aggregates, and compared as JSON.

It runs in a process of its own, whose Superset lies over a stack's databases (`python -m testing.routed_boards`). Each
grouped statement that the requests lead to has an aggregate of its own there, as our proposer would make it; or there
are just those that it has proposed. Nothing is left in the source.

**What has to be the same** is what JSON says: every value, and the order of every list. Two rules allow less, and each
request says which one was used:

- `ties`: the statement's ORDER BY does not name all that rows differ by (`aggregates.ties.is_total`). Two runs of the
  same statement may give rows that tie in another order then. The same rows have to be there.
- `floats`: sums of floating point numbers depend on the order in which they are added. They have to agree to nine
  digits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlglot import exp

from superset_ext.aggregates.propose.asks import Ask, Asked, candidates, read
from superset_ext.aggregates.service import Wanted, planned
from superset_ext.aggregates.tables.building import build, drop_all
from superset_ext.aggregates.view import View
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import AggregateError
from superset_ext.events import Queried, queried
from superset_ext.host import substitutes
from superset_ext.host.regions import chart_region
from superset_ext.package import EXTENSION
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.rewriting import parsed
from superset_ext.settings import AggregateRule
from testing.aggregate_tables import connected, run
from testing.browser import Answer
from testing.programs import program
from testing.routed import Routed
from testing.routed_steps import Ready
from testing.same_json import EXACTLY, OWN, how_same
from testing.stack import RunningStack

CONFIG = """
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_EXT_DATABASE_URL"]
SQLALCHEMY_EXAMPLES_URI = os.environ["SUPERSET__SQLALCHEMY_EXAMPLES_URI"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
WTF_CSRF_ENABLED = False
from superset_ext.config import *
"""
ROOT = Path(__file__).resolve().parents[1]
SECONDS = 1500


@dataclass
class Compared:
    """A request that was answered both ways.

    Attributes:
        same: by which rule: `exactly`, `ties`, `floats`, or `different`; `own` where no aggregate has answered.
        routed: of its statements, how many an aggregate has answered.
        refused: why others were Superset's, where they are grouped.
        raw: how many others have no groups.
    """

    dashboard: str
    path: str
    same: str = EXACTLY
    routed: int = 0
    refused: list[str] = field(default_factory=list)
    raw: int = 0
    detail: str = ""


def requests_of(answers: Sequence[Answer], titles: Mapping[int, str]) -> list[dict[str, str]]:
    """The requests behind a browser's answers, each once a dashboard.

    Args:
        titles: of dashboards, by id.
    """
    requests = []
    for answer in answers:
        parts = urlsplit(answer.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if answer.method == "POST" and "force=true" not in path:
            board = titles.get(answer.dashboard_id, str(answer.dashboard_id))
            requests.append({"dashboard": board, "path": path, "body": answer.body or "", "kind": answer.content_type})
    return [json.loads(text) for text in dict.fromkeys(json.dumps(one) for one in requests)]


def compared(
    stack: RunningStack, requests: Sequence[Mapping[str, str]], proposals: Mapping[str, str] | None = None
) -> list[Compared]:
    """Each request both ways.

    Args:
        requests: `dashboard`, `path`, `body` and `kind` of each.
        proposals: the aggregates to build, as a SELECT by its name; `None`: one for each grouped statement.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "config.py").write_text(CONFIG)
        asked = {"requests": list(requests), "proposals": proposals, "user": stack.user, "password": stack.password,
                 "log": stack.env["SUPERSET_EXT_DATABASE_URL"], "examples": stack.examples_url}  # fmt: skip
        (folder / "asked.json").write_text(json.dumps(asked))
        caches = Valkey(folder / "valkey").start()
        own = {"SUPERSET_CONFIG_PATH": str(folder / "config.py"), "SUPERSET_EXT_REDIS_URL": caches.url,
               "SUPERSET_EXT_RECORDER": "false", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}  # fmt: skip
        try:
            done = subprocess.run(
                [program("python"), "-m", "testing.routed_boards", str(folder)], env={**os.environ, **stack.env, **own},
                cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        finally:
            caches.stop()
        assert done.returncode == 0, done.stderr[-3000:]
        return [Compared(**one) for one in json.loads((folder / "answer.json").read_text())]


def summed(answers: Sequence[Compared]) -> dict[str, Any]:
    """Counts of requests and statements."""
    return {
        "requests": len(answers), "same": dict(Counter(one.same for one in answers)),
        "requests_routed": sum(bool(one.routed) for one in answers), "routed": sum(one.routed for one in answers),
        "refused": dict(Counter(reason for one in answers for reason in one.refused)),
        "without_groups": sum(one.raw for one in answers),
        "same_routed": dict(Counter(one.same for one in answers if one.routed)),
    }  # fmt: skip


def _main(folder: Path) -> None:
    from superset.app import create_app

    asked = json.loads((folder / "asked.json").read_text())
    boards = _Boards(create_app(), asked)
    with boards.built() as one:
        answers = [boards.compared(request, one) for request in asked["requests"]]
    (folder / "answer.json").write_text(json.dumps([vars(answer) for answer in answers]))


class _Boards:
    """A Superset of this process, and what its source has."""

    def __init__(self, app: Any, asked: Mapping[str, Any]) -> None:
        from superset.extensions import db
        from superset.models.core import Database

        self.app, self.asked = app, asked
        self.client = app.test_client()
        login = {"username": asked["user"], "password": asked["password"]}
        assert self.client.post("/login/", data=login).status_code == 302
        with app.app_context():
            (self.number,) = (one.id for one in db.session.query(Database).all() if _is_of(one, asked["examples"]))
        self.reasons: dict[str, str] = {}
        self.read: Callable[[str], list[Ask]] = lambda _sql: []

    def ask(self, request: Mapping[str, str]) -> tuple[Any, list[Any]]:
        """What a request is answered, forced, and the statements that it led to."""
        events: list[Queried] = []

        def hear(_sender: object, event: Queried) -> None:
            events.append(event)

        queried.connect(hear)
        try:
            path, body = _forced(request)
            answer = self.client.post(path, data=body, content_type=request["kind"])
        finally:
            queried.disconnect(hear)
        assert answer.status_code == 200, (path, answer.status_code, answer.data[:500])
        return answer.json, events

    @contextmanager
    def built(self) -> Iterator[Routed]:
        """The substitute of this process, with an aggregate for each grouped statement."""
        with connected(self.asked["examples"]) as connection:
            drop_all(connection)
            self._read_as(connection)
            try:
                self._build(connection, self.asked["proposals"] or self._views())
                yield self._substitute()
            finally:
                substitutes.substitutes = ()
                drop_all(connection)

    def _read_as(self, connection: Any) -> None:
        """Read statements with the facts of the source's tables."""

        def ask(sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
            return list(run(connection, sql, values or None))

        facts, ((zone,),) = PostgreSQL(ask), ask("SHOW timezone")
        self.read = lambda sql: read([Asked("", sql, None, 1.0, 1.0)], lambda _schema: facts, zone)[0]

    def _views(self) -> dict[str, View]:
        """An aggregate for each grouped statement that the requests lead to, by its name."""
        events = [event for request in self.asked["requests"] for event in self.ask(request)[1]]
        views: dict[Any, View] = {}
        for sql in dict.fromkeys(event.sql for event in events if event.database_id == self.number):
            for one in self.read(sql):
                needs = candidates([one])[0]
                key = needs.relation, frozenset(needs.units.items()), frozenset(needs.measures)
                views[key] = needs.view("unnamed")
        return {f"board_{place}": view for place, view in enumerate(views.values())}

    def _build(self, connection: Any, wanted: Mapping[str, str | View]) -> None:
        for name, one in wanted.items():
            with suppress(AggregateError), self.app.app_context():  # the statement's own reason says it at the end
                plan = planned(self.app, str(self.number), one, Wanted(name=name, schema="public"))
                build(connection, plan.definition)

    def _substitute(self) -> Routed:
        rule = AggregateRule(dataset="*", floats=True, loose=True, stale_seconds=86_400)
        chosen = {"aggregates": (rule,), "aggregates_shadow": 10**9, "plans_active": 1000}
        settings = self.app.extensions[EXTENSION].settings.model_copy(update=chosen)
        reasons = self.reasons

        class Told(Routed):
            """A substitute that says why it leaves a statement alone."""

            def substitution(self, posed: Any) -> Any:
                """See `RoutedCharts`."""
                given = super().substitution(posed)
                reasons[posed.sql] = given if isinstance(given, str) else ""
                return given

            def failed(self, posed: Any, substitution: Any, reason: str) -> None:
                """See `RoutedCharts`."""
                super().failed(posed, substitution, reason)
                reasons[posed.sql] = f"its text did not answer: {reason}"

        one = Told(
            self.app, LogDatabase(self.asked["log"]), lambda: None, lambda: chart_region(self.app), settings,
            lambda: Ready(0.0, float("-inf")),
        )  # fmt: skip
        one.flush()
        one.catalogue._thread = threading.current_thread()  # it has looked; nothing changes meanwhile
        with self.app.app_context():
            one.catalogue.look(self.number)
        return one

    def compared(self, request: Mapping[str, str], one: Routed) -> Compared:
        """A request both ways."""
        substitutes.substitutes = ()
        stock, _ = self.ask(request)
        substitutes.substitutes = (one,)
        ours, events = self.ask(request)
        substitutes.substitutes = ()
        result = Compared(request["dashboard"], request["path"][:80])
        shapes = []
        for event in events:
            if any("superset_ext_aggregates" in text for text in event.sent) and len(event.sent) == 1:
                result.routed += 1
                shapes += [one.shape for one in self.read(event.sql)]  # its text has the second that it was asked in
            elif is_grouped(event.sql):
                result.refused.append(self.reasons.get(event.sql) or "it was not asked for")
            else:
                result.raw += 1
        # Where no aggregate has answered, both are Superset's own; which rows a LIMIT cuts off may differ between them.
        result.same, result.detail = how_same(stock, ours, shapes) if result.routed else (OWN, "")
        return result


def _forced(request: Mapping[str, str]) -> tuple[str, str]:
    """Path and body of a request that no cache answers."""
    path, body = request["path"], request["body"]
    if request["kind"].startswith("application/json"):
        return path, json.dumps({**json.loads(body), "force": True})
    return f"{path}{'&' if '?' in path else '?'}force=true", body


def is_grouped(sql: str) -> bool:
    """Whether a statement makes groups of rows, or one row of all."""
    tree = parsed(sql, "postgres")
    if isinstance(tree, str):
        return "GROUP BY" in sql
    return bool(tree.args.get("group") or tree.args.get("distinct")) or any(
        one.find(exp.AggFunc) for one in tree.expressions
    )


def _is_of(database: Any, url: str) -> bool:
    ours, theirs = make_url(database.sqlalchemy_uri), make_url(url)
    return (ours.port, ours.database) == (theirs.port, theirs.database)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
