"""Opens a page that nobody has opened since it changed, and registers what it asks for; without a browser, what its
charts have saved.

It is opened once, under its executor, who may see it. Its chart requests carry a signed header that says they are
ours, because they are no traffic of people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from flask import Flask
from werkzeug.wrappers import Request

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import SupersetExtError, Unanswerable
from superset_ext.host.page_access import executor_of, page_url, session_cookies
from superset_ext.host.people import Identity
from superset_ext.host.replay import request_context, run_chart_data
from superset_ext.settings import Settings
from superset_ext.warm.discovery.fence import origin
from superset_ext.warm.discovery.filter_values import ROW_LIMIT
from superset_ext.warm.discovery.saved import saved_requests
from superset_ext.warm.discovery.traffic import Seen
from superset_ext.warm.discovery.visit import visit
from superset_ext.warm.discovery.walk import Visit
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.capture import HEADER, credential
from superset_ext.warm.registry.requests import ChartRequest, kind_of, safe_args
from superset_ext.warm.registry.uses import Ids, discovered_use
from superset_ext.warm.run.pages import Page

SET_BASE_URL = "set SUPERSET_EXT_WARM_BASE_URL to a URL at which workers reach Superset, and restart them"
# What Chromium says where no server answers at all.
_NO_ANSWER = re.compile(r"net::ERR_(CONNECTION|NAME|ADDRESS|INTERNET|SSL|CERT|PROXY|TUNNEL)\w*")
_DISCOVERED = """
INSERT INTO superset_ext.cache_discovery (page, version, discovered_at, requests, problems)
VALUES (%s, %s, now(), %s, %s)
ON CONFLICT (page) DO UPDATE SET version = excluded.version, discovered_at = excluded.discovered_at,
    requests = excluded.requests, problems = excluded.problems
"""


class PageUnreachable(SupersetExtError):
    """No Superset answers where pages are to be opened."""


def discover(app: Flask, database: LogDatabase, settings: Settings, page: Page) -> tuple[str, ...]:
    """Open a page and register what it asks for, within an app context.

    Returns:
        What could not be seen, a line each.

    Raises:
        Unanswerable: it has no executor, or nothing could be seen.
        BrowserMissing: there is no browser on this machine.
        PageUnreachable: there is one, and no Superset at the URL where it looks.
        LogUnavailable: the log database does not answer.
    """
    user = executor_of(app.config, page.kind, page.id, settings.warm_executor)
    seen = _visited(app, settings, page, user)
    if not seen.requests and seen.problems:
        raise _why_not_opened("; ".join(seen.problems), base_url(app, settings))
    root = app.config.get("APPLICATION_ROOT") or "/"
    requests = [request for one in seen.requests if (request := chart_request(one, root))]
    number = _register(database, settings, page, Identity(user.id), requests)
    with database.transaction() as cursor:
        cursor.execute(_DISCOVERED, (page.name, page.version, number, list(seen.problems)))
    return seen.problems


def discover_saved(app: Flask, database: LogDatabase, settings: Settings, page: Page) -> tuple[str, ...]:
    """Register what a page asks for as far as its charts have saved it; within an app context, without a browser.

    The page does not count as discovered: where there is a browser one day, it is opened.

    Returns:
        What is not known, a line each.

    Raises:
        Unanswerable: it has no executor.
        LogUnavailable: the log database does not answer.
    """
    identity = Identity(executor_of(app.config, page.kind, page.id, settings.warm_executor).id)

    def ask(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        environ = {"path": "/api/v1/chart/data", "method": "POST", "json": dict(body)}
        with request_context(app, environ, identity):
            return list(run_chart_data(body, refresh=False)[0].get("data") or ())

    saved = saved_requests(page, ask, int(app.config.get("NATIVE_FILTER_DEFAULT_ROW_LIMIT") or ROW_LIMIT))
    _register(database, settings, page, identity, saved.requests)
    return tuple(saved.lines())


def _register(
    database: LogDatabase, settings: Settings, page: Page, identity: Identity, requests: Iterable[ChartRequest]
) -> int:
    """Tell the registry; returns how many different requests there are."""
    different = {request.fingerprint(): request for request in requests}
    uses = [discovered_use(request, identity, _ids(request, page)) for request in different.values()]
    tables.write(database, settings, uses)
    return len(different)


def base_url(app: Flask, settings: Settings) -> str:
    """Where a worker's browser reaches Superset."""
    return str(settings.warm_base_url or app.config["WEBDRIVER_BASEURL"])


def _why_not_opened(problems: str, base: str) -> SupersetExtError:
    if reason := _NO_ANSWER.search(problems):
        return PageUnreachable(f"no Superset answers at {origin(base)} ({reason[0]}); {SET_BASE_URL}")
    return Unanswerable(problems)


def _visited(app: Flask, settings: Settings, page: Page, user: Any) -> Visit:
    return visit(
        page_url(base_url(app, settings), page.kind, page.id),
        session_cookies(user),
        headers={HEADER: credential(app.config["SECRET_KEY"])},
        executable=settings.warm_browser or None,
        seconds=float(settings.warm_timeout),
    )


def chart_request(seen: Seen, root: str) -> ChartRequest | None:
    """The chart request that a browser was seen to make of an app below `root`; `None` for any other request."""
    path = seen.path.removeprefix(root.rstrip("/"))
    kind = kind_of(path)
    if kind is None:
        return None
    form = _form_data(seen)
    body = form if form is not None else seen.body.decode(errors="replace")
    return ChartRequest(kind, path, safe_args(seen.query), body, form is not None)


def _form_data(seen: Seen) -> str | None:
    """The form field `form_data`; `None` for a request that was not sent as a form."""
    if "form" not in seen.content_type:
        return None
    environ = {
        "REQUEST_METHOD": "POST", "CONTENT_TYPE": seen.content_type, "CONTENT_LENGTH": str(len(seen.body)),
        "wsgi.input": BytesIO(seen.body),
    }  # fmt: skip
    return Request(environ).form.get("form_data")


def _ids(request: ChartRequest, page: Page) -> Ids:
    form_data = request.form_data()
    datasource = str(form_data.get("datasource", "")).split("__")
    dataset = _number(datasource[0]) if datasource[-1] == "table" else None
    return Ids(page.dashboard_id, _number(form_data.get("slice_id")), dataset, _database(dataset))


def _database(dataset_id: int | None) -> int | None:
    """The database of a dataset."""
    from superset_ext.host.models import SqlaTable, db

    dataset = db.session.get(SqlaTable, dataset_id) if dataset_id else None
    return dataset.database_id if dataset else None


def _number(value: Any) -> int | None:
    try:
        return int(value) if value else None
    except (TypeError, ValueError, OverflowError):
        return None
