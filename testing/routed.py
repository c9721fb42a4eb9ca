"""Charts on a table that has aggregates, in a real Superset: asked with the seam's substitute and without it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from superset_ext.aggregates.route.substitute import RoutedCharts
from superset_ext.events import Queried, queried
from superset_ext.host import substitutes
from superset_ext.host.regions import chart_region
from superset_ext.plans.compared.pairs import Pairs
from superset_ext.settings import AggregateRule
from testing.in_process import ADMIN, PASSWORD, InProcess
from testing.probes import until
from testing.routed_shop import PASS, Shop

SOLD = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "sold"}
NUMBER = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}
MEAN = {"expressionType": "SQL", "sqlExpression": "AVG(price)", "label": "mean"}
MONTH = {"columns": [{
    "timeGrain": "P1M", "columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL",
}]}  # fmt: skip
READ = "superset_ext_aggregates"


class Routed(RoutedCharts):
    """The substitute of a process, of which a test waits for what it does in the background."""

    def reset(self) -> None:
        """See `RoutedCharts`."""
        super().reset()
        self.compared = threading.Semaphore(0)

    def shown(self, job: Any, shown: Any) -> None:
        """See `RoutedCharts`."""
        super().shown(job, shown)
        self.compared.release()

    def refused(self, job: Any, reason: str) -> None:
        """See `RoutedCharts`."""
        super().refused(job, reason)
        self.compared.release()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be compared, or is under way."""
        return not len(self._shadow._queue)


def routed(app: InProcess, shop: Shop, looks: bool = True, **settings: Any) -> Routed:
    """The substitute of a process that has looked at the source; all may be answered, and every answer is compared."""
    rules = settings.pop("aggregates", (AggregateRule(database=shop.name),))
    pairs = settings.pop("pairs", lambda: Pairs(0.0, float("-inf")))
    chosen = {"aggregates": rules, "aggregates_shadow": 1, "plans_active": 100, **settings}
    values = app.package.settings.model_copy(update=chosen)
    one = Routed(
        app.app, app.package.log(), lambda: None, lambda: chart_region(app.app), values, pairs
    )  # fmt: skip
    one.flush()
    if looks:
        one.catalogue._thread = threading.current_thread()  # it looks when the test says so
        one.catalogue.look(shop.number)
    return one


_A_DAY = timedelta(days=1)
_clients: dict[str, Any] = {}


def client(app: InProcess, user: str = ADMIN) -> Any:
    """Somebody who logs in once: checking a password takes long."""
    if user not in _clients:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(app.app.config, "JWT_ACCESS_TOKEN_EXPIRES", _A_DAY)  # a long run is longer than its default
            _clients[user] = app.client(user, PASSWORD if user == ADMIN else PASS)
    return _clients[user]


def body(dataset: int, force: bool = True, **query: Any) -> dict[str, Any]:
    """A chart's request."""
    return body_of(dataset, [query], force)


def body_of(dataset: int, queries: Sequence[Mapping[str, Any]], force: bool = True) -> dict[str, Any]:
    """A request of a chart that asks several queries at once."""
    common = {"columns": ["shop"], "metrics": [SOLD, NUMBER], "filters": [], "row_limit": 1000, "extras": {}}
    return {
        "datasource": {"id": dataset, "type": "table"}, "force": force, "result_format": "json", "result_type": "full",
        "queries": [{**common, **query} for query in queries],
    }  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What came of a chart's request.

    Attributes:
        status: of HTTP.
        rows: in an order of their own; or the error.
        listed: the same as they were given.
        columns: with their types.
        sent: what reached the source.
    """

    status: int
    rows: Any
    columns: Any
    sent: tuple[str, ...]
    is_cached: bool
    listed: tuple[dict[str, Any], ...] = ()

    @property
    def is_routed(self) -> bool:
        """Whether an aggregate has answered."""
        return len(self.sent) == 1 and READ in self.sent[0]

    @property
    def shown(self) -> Any:
        """What a person sees."""
        return self.status, self.rows, self.columns


def ask(app: InProcess, dataset: int, user: str = ADMIN, force: bool = True, **query: Any) -> Answer:
    """A chart's request, as somebody makes it."""
    return ask_as(app, dataset, user, force, **query)


def ask_as(app: InProcess, dataset: int, who: Any, force: bool = True, **query: Any) -> Answer:
    """The same as a user of that name, or by a client of its own."""
    return ask_all(app, dataset, who, [query], force)[0]


def ask_all(
    app: InProcess, dataset: int, who: Any, queries: Sequence[Mapping[str, Any]], force: bool = True
) -> list[Answer]:
    """A request with several queries; an answer each, or one for all where the request fails."""
    events: list[Queried] = []

    def hear(_sender: str, event: Queried) -> None:
        events.append(event)

    queried.connect(hear)
    try:
        asker = client(app, who) if isinstance(who, str) else who
        answer = asker.post("/api/v1/chart/data", json=body_of(dataset, queries, force))
    finally:
        queried.disconnect(hear)
    if answer.status_code != 200:
        return [Answer(answer.status_code, [], [], tuple(text for event in events for text in event.sent), False)]
    results = answer.json["result"]
    sent = _sent(events, len(results))
    return [_answered(result, texts) for result, texts in zip(results, sent, strict=True)]


def _sent(events: Sequence[Queried], queries: int) -> list[tuple[str, ...]]:
    """What was sent for each query of a request."""
    if queries == 1:
        return [tuple(text for event in events for text in event.sent)]
    if len(events) != queries:  # those that a cache answered send nothing
        return [()] * queries
    return [event.sent for event in events]


def _answered(result: Mapping[str, Any], sent: tuple[str, ...]) -> Answer:
    rows = sorted(json.dumps(row, sort_keys=True) for row in result["data"])
    columns = result["colnames"], result["coltypes"]
    return Answer(200, rows, columns, sent, bool(result["is_cached"]), tuple(result["data"]))


def label_of(column: Any) -> str:
    """What a column, or a metric, is called in an answer."""
    return str(column if isinstance(column, str) else column["label"])


def order_of(query: Mapping[str, Any]) -> str:
    """How far its order is decided: `wholly` where no two rows tie, `partly` or `not`."""
    terms = [label_of(term) for term, _ in query.get("orderby", ())]
    if {label_of(column) for column in query["columns"]} <= set(terms):
        return "wholly"
    return "partly" if terms else "not"


def in_order(query: Mapping[str, Any], answer: Answer) -> list[Any]:
    """The rows in their order, as far as the statement decides it: what ties may come out in any."""
    if order_of(query) == "wholly":
        return [*answer.listed]
    return [[row[label_of(term)] for term, _ in query.get("orderby", ())] for row in answer.listed]


def guest(app: InProcess, patch: Any, rules: list[dict[str, Any]]) -> Any:
    """The client of a guest of an embedded dashboard, with these rules for rows."""
    from superset.extensions import feature_flag_manager, security_manager

    patch.setitem(feature_flag_manager._feature_flags, "EMBEDDED_SUPERSET", True)
    patch.setitem(app.app.config, "GUEST_ROLE_NAME", "Admin")
    patch.setitem(app.app.config, "GUEST_TOKEN_JWT_EXP_SECONDS", int(_A_DAY.total_seconds()))
    with app.app.app_context():
        token = security_manager.create_guest_access_token({"username": "guest"}, [], rules)
    one = app.app.test_client(use_cookies=False)
    one.environ_base["HTTP_X_GUESTTOKEN"] = token.decode() if isinstance(token, bytes) else token
    return one


def stock(app: InProcess, dataset: int, user: str = ADMIN, **query: Any) -> Answer:
    """The same without a substitute."""
    return stock_as(app, dataset, user, **query)


def stock_as(app: InProcess, dataset: int, who: Any, **query: Any) -> Answer:
    """The same as a user of that name, or by a client of its own."""
    return stock_all(app, dataset, who, [query])[0]


def stock_all(app: InProcess, dataset: int, who: Any, queries: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """A request with several queries, without a substitute."""
    before, substitutes.substitutes = substitutes.substitutes, ()
    try:
        return ask_all(app, dataset, who, queries)
    finally:
        substitutes.substitutes = before


def proven(app: InProcess, one: Routed, dataset: int, user: str = ADMIN, **query: Any) -> None:
    """Ask a chart until its statement has been compared as often as it must, and nothing else is."""
    for _ in range(2):
        rested(one)
        ask(app, dataset, user, **query)
        rested(one)
    while one.compared.acquire(blocking=False):  # what a test waits for comes after this
        pass


def rested(one: Routed) -> None:
    """Wait until nothing runs in the background."""
    until(partial(_rests, one))


def _rests(one: Routed) -> bool:
    return one.is_idle
