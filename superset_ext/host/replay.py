"""Chart requests answered in this process, as Superset's endpoints answer them, but for the response.

Each has a fresh app context and a request context with the captured arguments and body. Jinja macros such as
`filter_values` read them from there, and `g` keeps row-level rules: one context for two users would put the first
one's rows under the second one's key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Flask, request

from superset_ext.errors import Unanswerable
from superset_ext.host.people import Identity, user_of
from superset_ext.host.scope import mark_as_warming


@contextmanager
def request_context(app: Flask, environ: Mapping[str, Any], identity: Identity) -> Iterator[None]:
    """A request of warming's own, made as `identity`.

    Args:
        environ: of the request, as `Flask.test_request_context` takes it.

    Raises:
        Unanswerable: there is no such user any more.
    """
    from superset_ext.host.event_logger import together
    from superset_ext.host.services import override_user

    with app.app_context(), app.test_request_context(**environ):
        mark_as_warming(refreshing=True)
        with together(), override_user(user_of(identity), force=True):
            yield


def run_chart_data(body: Mapping[str, Any], refresh: bool) -> list[dict[str, Any]]:
    """Run the query context `body`, as `POST /api/v1/chart/data` does; with `refresh`, no cached answer will do.

    Returns:
        What each query came to, with its rows under `data`.
    """
    from superset.charts.schemas import ChartDataQueryContextSchema
    from superset.commands.chart.data.get_data_command import ChartDataCommand

    command = ChartDataCommand(ChartDataQueryContextSchema().load({**body, "force": refresh}))
    command.validate()
    return list(command.run()["queries"])


def stored_query_context(chart_id: int) -> dict[str, Any]:
    """The query context that Superset keeps of a chart, as `GET /api/v1/chart/<id>/data/` completes it.

    Raises:
        Unanswerable: there is no such chart for this user, or it has none.
    """
    from superset.daos.chart import ChartDAO

    chart = ChartDAO.find_by_id(chart_id)
    if chart is None:
        raise Unanswerable("the chart is gone, or not this user's to see")
    if not chart.query_context:
        raise Unanswerable("the chart has no stored query context; save it again")
    body: dict[str, Any] = json.loads(chart.query_context)
    body["result_type"] = request.args.get("type", "full")
    body["result_format"] = request.args.get("format", "json")
    return body


def run_old_chart(refresh: bool) -> None:
    """Run the current request as `/superset/explore_json/` does; with `refresh`, no cached answer will do."""
    viz = old_chart(refresh)
    payload = viz.get_payload()
    if viz.has_error(payload):
        raise RuntimeError(payload.get("error") or _first_message(payload) or "the chart failed")


def old_chart(refresh: bool) -> Any:
    """The chart of the old kind that the current request asks for, if Superset lets the current user ask for it."""
    from superset.views.utils import get_datasource_info, get_form_data, get_viz

    form_data = get_form_data()[0]
    datasource_id, datasource_type = get_datasource_info(None, None, form_data)
    viz = get_viz(datasource_type=str(datasource_type), datasource_id=datasource_id, form_data=form_data, force=refresh)
    viz.raise_for_access()
    return viz


def _first_message(payload: Mapping[str, Any]) -> str:
    errors = payload.get("errors") or [{}]
    return str(errors[0].get("message", ""))


def is_dataset_gone(failure: Exception) -> bool:
    """Whether a replay failed because its dataset was deleted."""
    from superset.daos.exceptions import DatasourceNotFound

    return isinstance(failure, DatasourceNotFound)


def is_denied(failure: Exception) -> bool:
    """Whether a replay failed for want of a right."""
    from superset.exceptions import SupersetSecurityException

    return isinstance(failure, SupersetSecurityException)


def error_types(failure: Exception) -> list[str]:
    """Superset's names of what went wrong, such as `CONNECTION_HOST_DOWN_ERROR`."""
    errors = [getattr(failure, "error", None), *getattr(failure, "errors", ())]
    return [str(getattr(error, "error_type", "")) for error in errors]
