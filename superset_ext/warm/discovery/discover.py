"""Opens a page that nobody has opened since it changed, to see what it asks for.

It is opened once under its executor, who may see it, with a forged session as Superset's own reports
have, and its chart requests say in a signed header that they are ours: they are no traffic of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from flask import Flask
from werkzeug.wrappers import Request

from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import PREFIX, Settings
from superset_ext.warm.discovery.browser import Seen, visit
from superset_ext.warm.registry.capture import HEADER, credential
from superset_ext.warm.registry.requests import ChartRequest, kind_of, safe_args
from superset_ext.warm.registry.store import Registry, now_use
from superset_ext.warm.registry.who import Who
from superset_ext.warm.run.replay import Unwarmable
from superset_ext.warm.run.targets import Page

_DONE = """
INSERT INTO superset_ext.cache_discovery (page, version, discovered_at, requests, problems)
VALUES (%s, %s, now(), %s, %s)
ON CONFLICT (page) DO UPDATE SET version = excluded.version, discovered_at = excluded.discovered_at,
    requests = excluded.requests, problems = excluded.problems
"""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What opening a page came to.

    Attributes:
        who: as whom it was opened.
        requests: how many different ones it made.
        problems: what could not be seen, a line each.
    """

    who: Who
    requests: int
    problems: tuple[str, ...]


def discover(app: Flask, database: LogDatabase, settings: Settings, page: Page) -> Discovered:
    """Open a page and put what it asks for into the registry, within an app context.

    Raises:
        Unwarmable: it has no executor, or nothing could be seen.
        BrowserMissing: there is no browser on this machine.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    user = _executor(app, settings, page)
    headers = {HEADER: credential(app.config["SECRET_KEY"])}
    seen = visit(
        _url(app, settings, page), _cookies(user), headers=headers, executable=settings.warm_browser or None,
        seconds=float(settings.warm_timeout),
    )  # fmt: skip
    if not seen.requests and seen.problems:
        raise Unwarmable("; ".join(seen.problems))
    root = app.config.get("APPLICATION_ROOT") or "/"
    found = {each.fingerprint(): each for each in (_request(one, root) for one in seen.requests) if each}
    who = Who(user.id)
    Registry(database, settings).write([now_use(each, who, _ids(each, page)) for each in found.values()])
    with database.transaction() as cursor:
        cursor.execute(_DONE, (page.name, page.version, len(found), list(seen.problems)))
    return Discovered(who, len(found), seen.problems)


def _executor(app: Flask, settings: Settings, page: Page) -> Any:
    """The user as whom a page is opened: by CACHE_WARMUP_EXECUTORS, or the one that is set for pages without owner."""
    from superset.extensions import security_manager
    from superset.tasks.exceptions import ExecutorNotFoundError
    from superset.tasks.utils import get_executor

    try:
        name = get_executor(app.config["CACHE_WARMUP_EXECUTORS"], _model(page))[1]
    except ExecutorNotFoundError:
        name = settings.warm_executor
    if not name:
        raise Unwarmable(f"it has no owner to open it as; give it one, or set {PREFIX}WARM_EXECUTOR to a user name")
    user = security_manager.find_user(username=name)
    if user is None or not user.is_active:
        raise Unwarmable(f"its executor {name} does not exist or is deactivated")
    return user


def _model(page: Page) -> Any:
    from superset.extensions import db
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    kind, number = page.name.split(":")
    model = db.session.get(Dashboard if kind == "dashboard" else Slice, int(number))
    if model is None:
        raise Unwarmable("it does not exist any more")
    return model


def _url(app: Flask, settings: Settings, page: Page) -> str:
    base = (settings.warm_base_url or app.config["WEBDRIVER_BASEURL"]).rstrip("/")
    kind, number = page.name.split(":")
    return f"{base}/superset/dashboard/{number}/" if kind == "dashboard" else f"{base}/explore/?slice_id={number}"


def _cookies(user: Any) -> dict[str, str]:
    from superset.extensions import machine_auth_provider_factory

    return dict(machine_auth_provider_factory.instance.get_auth_cookies(user))


def _request(seen: Seen, root: str) -> ChartRequest | None:
    path = seen.path.removeprefix(root.rstrip("/"))
    kind = kind_of(path)
    if kind is None:
        return None
    form = _form_data(seen)
    body = form if form is not None else seen.body.decode(errors="replace")
    return ChartRequest(kind, path, safe_args(seen.query), body, form is not None)


def _form_data(seen: Seen) -> str | None:
    """The form field `form_data` of a request that was sent as a form."""
    if "form" not in seen.content_type:
        return None
    environ = {
        "REQUEST_METHOD": "POST", "CONTENT_TYPE": seen.content_type, "CONTENT_LENGTH": str(len(seen.body)),
        "wsgi.input": BytesIO(seen.body),
    }  # fmt: skip
    return Request(environ).form.get("form_data")


def _ids(request: ChartRequest, page: Page) -> tuple[int | None, int | None, int | None, int | None]:
    kind, number = page.name.split(":")
    form_data = request.form_data()
    chart = _number(form_data.get("slice_id"))
    datasource = str(form_data.get("datasource", "")).split("__")
    dataset = _number(datasource[0]) if datasource[-1] == "table" else None
    return int(number) if kind == "dashboard" else None, chart, dataset, _database(dataset)


def _database(dataset_id: int | None) -> int | None:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    found = db.session.get(SqlaTable, dataset_id) if dataset_id else None
    return found.database_id if found else None


def _number(value: Any) -> int | None:
    try:
        return int(value) if value else None
    except (TypeError, ValueError):
        return None
