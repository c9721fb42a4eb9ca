"""Uses of requests, for tests of the registry."""

from __future__ import annotations

import json
import time
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Answer, Stored
from superset_ext.host.people import Identity
from superset_ext.settings import load
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, Use

SETTINGS = load({})


ANN, BOB = Identity(1), Identity(2)


def ask(chart: int = 1, **query: Any) -> ChartRequest:
    body = json.dumps({"queries": [query], "form_data": {"slice_id": chart}})
    return ChartRequest("data", "/api/v1/chart/data", "", body)


def answer(key: str, hit: bool = True, cost_ms: float = 100.0, seconds: float | None = None) -> Answer:
    return Answer(key, hit, None if hit else Stored.STORED, cost_ms, seconds)


def use(
    who: Identity = ANN,
    *keys: str,
    chart: int = 1,
    request: ChartRequest | None = None,
    at: float | None = None,
    people: bool = True,
    hit: bool = True,
    cost_ms: float = 100.0,
) -> Use:
    answers = tuple(answer(key, hit, cost_ms) for key in keys or ("k",))
    return Use(request or ask(chart), who, answers, Ids(chart=chart), at or time.time(), people)


def change(database: LogDatabase, sql: str, values: tuple[Any, ...] = ()) -> None:
    with database.transaction() as cursor:
        cursor.execute(sql, values)
