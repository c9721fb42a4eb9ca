"""Asks one request again as one identity, exactly as a browser would, and says what it came to."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask

from superset_ext.errors import Unanswerable
from superset_ext.events import Answer, Asked, Stored, asked
from superset_ext.host.people import Identity
from superset_ext.host.replay import (
    error_types,
    is_dataset_gone,
    is_denied,
    request_context,
    run_chart_data,
    run_old_chart,
    stored_query_context,
)
from superset_ext.warm.registry.requests import ChartRequest, loaded

_ended: ContextVar[list[Asked] | None] = ContextVar("superset_ext_replayed", default=None)
_FIXES = {
    Stored.TOO_LARGE: "its result is over the cap; raise SUPERSET_EXT_MAX_ENTRY_BYTES or SUPERSET_EXT_MAX_RESULT_ROWS",
    Stored.MEMORY: "Redis has no room for it; raise its maxmemory",
    Stored.REFUSED: "its result is of a kind that is not cached, or its timeout is -1",
    Stored.ERROR: "Redis did not take it",
}
# Words in the errors of a source or a server that may well answer the next time.
_PASSING = (
    "CONNECTION_", "BACKEND_TIMEOUT", "timeout", "timed out", "deadlock", "connection", "too many", "temporarily",
    "could not connect", "server closed", "QueuePool limit", "try again", "unavailable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to.

    Attributes:
        answers: of its queries; empty where it failed before the first.
        error: why it failed, one line; `None` where it did not.
        passing: whether the fault may be over at the next attempt.
        ms: milliseconds it took.
        dataset_id: Superset's id, `None` where unknown.
        database_id: likewise.
        gone: whether its dataset was deleted, so that it need never be asked again.
    """

    answers: tuple[Answer, ...] = ()
    error: str | None = None
    passing: bool = False
    ms: float = 0.0
    dataset_id: int | None = None
    database_id: int | None = None
    gone: bool = False

    @property
    def warmed(self) -> bool:
        """Whether an entry was stored."""
        return any(answer.stored is Stored.STORED for answer in self.answers)


def replay(app: Flask, request: ChartRequest, identity: Identity, refresh: bool = False) -> Replayed:
    """Ask `request` as `identity`. An old answer will not do; with `refresh`, no cached one will."""
    started = time.perf_counter()
    queries: list[Asked] = []
    fault: dict[str, Any] = {}
    token = _ended.set(queries)
    try:
        with request_context(app, environ_of(request), identity):
            _ask(request, refresh)
    except Exception as failure:  # noqa: BLE001  (whatever Superset or a driver raises is this item's reason)
        fault = {"error": _reason(failure), "passing": _passes(failure), "gone": is_dataset_gone(failure)}
    finally:
        _ended.reset(token)
    return _result(queries, fault, (time.perf_counter() - started) * 1000)


def _result(queries: list[Asked], fault: dict[str, Any], ms: float) -> Replayed:
    answers = tuple(answer for query in queries for answer in query.answers)
    scope = queries[0].scope if queries else None
    ids = (scope.dataset_id, scope.database_id) if scope else (None, None)
    result = Replayed(answers, ms=ms, dataset_id=ids[0], database_id=ids[1], **fault)
    return result if result.error else _kept(result)


def _collect(_channel: str, event: Asked) -> None:
    queries = _ended.get()
    if queries is not None:
        queries.append(event)


asked.connect(_collect)


def _kept(result: Replayed) -> Replayed:
    """The result, with an error where something could not be stored: that has warmed nothing."""
    there = (Stored.STORED, Stored.SUPERSEDED)
    fates = [answer.stored for answer in result.answers if not answer.hit and answer.stored not in there]
    if not fates:
        return result
    why = next((_FIXES[fate] for fate in fates if fate in _FIXES), "its result is not cached; its timeout may be -1")
    return replace(result, error=why, passing=Stored.ERROR in fates)


def environ_of(request: ChartRequest) -> dict[str, Any]:
    """The request, as `Flask.test_request_context` takes it."""
    environ: dict[str, Any] = {"path": request.path, "query_string": request.args}
    if request.kind == "stored":
        return environ
    if request.is_form:
        return environ | {"method": "POST", "data": {"form_data": request.body}}
    if request.kind == "explore" and not request.body:
        return environ
    return environ | {"method": "POST", "data": request.body, "content_type": "application/json"}


def _ask(request: ChartRequest, refresh: bool) -> None:
    if request.body is None:
        raise Unanswerable("its filter values are not kept (SUPERSET_EXT_WARM_KEEP_VALUES)")
    if request.kind == "explore":
        run_old_chart(refresh)
    elif request.kind == "stored":
        run_chart_data(stored_query_context(int(request.path.rstrip("/").split("/")[-2])), refresh)
    else:
        run_chart_data(loaded(request.body), refresh)


def _reason(failure: Exception) -> str:
    text = str(getattr(failure, "message", "") or failure) or type(failure).__name__
    return " ".join(text.split())[:500]


def _passes(failure: Exception) -> bool:
    """Whether a fault may pass; a query that is wrong, or a right that is missing, will not."""
    if isinstance(failure, Unanswerable) or is_denied(failure):
        return False
    text = " ".join([_reason(failure), type(failure).__name__, *error_types(failure)]).lower()
    return any(word.lower() in text for word in _PASSING)
