"""Asks one request again as one user, exactly as a browser would, and tells what came of it.

Each replay has a fresh app context and a request context that holds the captured arguments and body:
Jinja macros such as `filter_values` read them from there, and `g` keeps row-level rules, so that one
context for two users would put the first one's rows under the second one's key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask

from superset_ext.events import Answer, Asked, Stored, asked
from superset_ext.host.scope import mark_as_warming
from superset_ext.warm.registry.requests import ChartRequest, loaded
from superset_ext.warm.registry.who import Who, load

_heard: ContextVar[list[Asked] | None] = ContextVar("superset_ext_replayed", default=None)
_FIXES = {
    Stored.TOO_LARGE: "its result is over the cap; raise SUPERSET_EXT_MAX_ENTRY_BYTES or SUPERSET_EXT_MAX_RESULT_ROWS",
    Stored.MEMORY: "Redis has no room for it; raise its maxmemory",
    Stored.REFUSED: "its result is of a kind that is not cached, or its timeout is -1",
    Stored.ERROR: "Redis did not take it",
}
# What a source or a server says when it may well answer the next time.
_PASSING = (
    "CONNECTION_", "BACKEND_TIMEOUT", "timeout", "timed out", "deadlock", "connection", "too many", "temporarily",
    "could not connect", "server closed", "QueuePool limit", "try again", "unavailable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        answers: of its queries; empty where it failed before the first.
        error: why it failed, one line; `None` where it did not.
        passing: whether the fault may be over the next time.
        ms: milliseconds it took.
        ids: dataset and database, where they are known by now.
        gone: whether its dataset was deleted, so that it need never be asked again.
    """

    answers: tuple[Answer, ...]
    error: str | None
    passing: bool
    ms: float
    ids: tuple[int | None, int | None] = (None, None)
    gone: bool = False

    @property
    def warmed(self) -> bool:
        """Whether an entry was stored."""
        return any(answer.stored is Stored.STORED for answer in self.answers)


class Unwarmable(Exception):
    """Why a request cannot be asked; it will be no different the next time."""


def replay(app: Flask, request: ChartRequest, who: Who, refresh: bool = False) -> Replayed:
    """Ask `request` as `who`; an old answer will not do, and with `refresh` none that is cached."""
    started = time.perf_counter()
    heard: list[Asked] = []
    error: str | None = None
    passing = gone = False
    token = _heard.set(heard)
    try:
        with _context(app, request, who):
            _ask(request, refresh)
    except Exception as failure:  # noqa: BLE001  (whatever Superset or a driver raises is this item's reason)
        error, passing, gone = _reason(failure), _passes(failure), _is_gone(failure)
    finally:
        _heard.reset(token)
    answers = tuple(answer for event in heard for answer in event.answers)
    ids = (heard[0].scope.dataset_id, heard[0].scope.database_id) if heard else (None, None)
    done = Replayed(answers, error, passing, (time.perf_counter() - started) * 1000, ids, gone)
    return done if error else _kept(done)


def _collect(_channel: str, event: Asked) -> None:
    heard = _heard.get()
    if heard is not None:
        heard.append(event)


asked.connect(_collect)


def _kept(done: Replayed) -> Replayed:
    """A result that could not be stored has warmed nothing."""
    there = (Stored.STORED, Stored.SUPERSEDED)
    fates = [answer.stored for answer in done.answers if not answer.hit and answer.stored not in there]
    if not fates:
        return done
    why = next((_FIXES[fate] for fate in fates if fate in _FIXES), "its result is not cached; its timeout may be -1")
    return replace(done, error=why, passing=Stored.ERROR in fates)


@contextmanager
def _context(app: Flask, request: ChartRequest, who: Who) -> Iterator[None]:
    from superset.utils.core import override_user

    with app.app_context(), app.test_request_context(**_environ(request)):
        mark_as_warming(refreshing=True)
        try:
            user = load(who)
        except LookupError as error:
            raise Unwarmable(str(error)) from None
        with override_user(user, force=True):
            yield


def _environ(request: ChartRequest) -> dict[str, Any]:
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
        raise Unwarmable("its filter values are not kept (SUPERSET_EXT_WARM_KEEP_VALUES)")
    if request.kind == "explore":
        _explore(refresh)
    else:
        _data(_stored_context(request) if request.kind == "stored" else loaded(request.body), refresh)


def _data(body: dict[str, Any], refresh: bool) -> None:
    """What the endpoint of chart data does, without its answer."""
    from superset.charts.schemas import ChartDataQueryContextSchema
    from superset.commands.chart.data.get_data_command import ChartDataCommand

    context = ChartDataQueryContextSchema().load({**body, "force": refresh})
    command = ChartDataCommand(context)
    command.validate()
    command.run()


def _stored_context(request: ChartRequest) -> dict[str, Any]:
    from flask import request as current
    from superset.daos.chart import ChartDAO

    chart = ChartDAO.find_by_id(int(request.path.rstrip("/").split("/")[-2]))
    if chart is None:
        raise Unwarmable("the chart is gone, or not this user's to see")
    if not chart.query_context:
        raise Unwarmable("the chart has no stored query context; save it again")
    body: dict[str, Any] = json.loads(chart.query_context)
    body["result_type"] = current.args.get("type", "full")
    body["result_format"] = current.args.get("format", "json")
    return body


def _explore(refresh: bool) -> None:
    """What the endpoint of the old charts does, without its answer."""
    from superset.views.utils import get_datasource_info, get_form_data, get_viz

    form_data = get_form_data()[0]
    datasource_id, datasource_type = get_datasource_info(None, None, form_data)
    viz = get_viz(datasource_type=str(datasource_type), datasource_id=datasource_id, form_data=form_data, force=refresh)
    viz.raise_for_access()
    payload = viz.get_payload()
    if viz.has_error(payload):
        raise RuntimeError(payload.get("error") or _first_message(payload) or "the chart failed")


def _first_message(payload: dict[str, Any]) -> str:
    errors = payload.get("errors") or [{}]
    return str(errors[0].get("message", ""))


def _reason(failure: Exception) -> str:
    text = str(getattr(failure, "message", "") or failure) or type(failure).__name__
    return " ".join(text.split())[:500]


def _is_gone(failure: Exception) -> bool:
    from superset.daos.exceptions import DatasourceNotFound

    return isinstance(failure, DatasourceNotFound)


def _passes(failure: Exception) -> bool:
    """Whether a fault may pass; a query that is wrong, or a right that is missing, will not."""
    from superset.exceptions import SupersetSecurityException

    if isinstance(failure, (Unwarmable, SupersetSecurityException)):
        return False
    kinds = [getattr(getattr(failure, "error", None), "error_type", "")]
    kinds += [getattr(error, "error_type", "") for error in getattr(failure, "errors", ())]
    said = " ".join([_reason(failure), type(failure).__name__, *map(str, kinds)]).lower()
    return any(mark.lower() in said for mark in _PASSING)
