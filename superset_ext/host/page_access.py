"""How a browser gets to a page of Superset: its URL, its executor, and the executor's session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from superset_ext.errors import Unanswerable
from superset_ext.settings import PREFIX

Kind = Literal["dashboard", "chart"]


def page_url(base: str, kind: Kind, number: int) -> str:
    """The URL of a dashboard, or of a chart by itself, below the root `base`."""
    path = f"/superset/dashboard/{number}/" if kind == "dashboard" else f"/explore/?slice_id={number}"
    return base.rstrip("/") + path


def executor_of(config: Mapping[str, Any], kind: Kind, number: int, default: str | None) -> Any:
    """The user as whom a page is opened.

    Args:
        config: Superset's, whose CACHE_WARMUP_EXECUTORS decides.
        default: name of the user for pages that have no executor.

    Raises:
        Unanswerable: the page is gone, or has no executor who may be used.
    """
    from superset.tasks.exceptions import ExecutorNotFoundError
    from superset.tasks.utils import get_executor

    from superset_ext.host.services import security_manager

    try:
        name = get_executor(config["CACHE_WARMUP_EXECUTORS"], _model(kind, number))[1]
    except ExecutorNotFoundError:
        name = default
    if not name:
        raise Unanswerable(f"it has no owner to open it as; give it one, or set {PREFIX}WARM_EXECUTOR to a user name")
    user = security_manager.find_user(username=name)
    if user is None or not user.is_active:
        raise Unanswerable(f"its executor {name} does not exist or is deactivated")
    return user


def _model(kind: Kind, number: int) -> Any:
    from superset_ext.host.models import Dashboard, Slice, db

    model = db.session.get(Dashboard if kind == "dashboard" else Slice, number)
    if model is None:
        raise Unanswerable("it does not exist any more")
    return model


def session_cookies(user: Any) -> dict[str, str]:
    """The cookies of a session of `user`, made as Superset's own reports make theirs."""
    from superset_ext.host.services import machine_auth_provider_factory

    return dict(machine_auth_provider_factory.instance.get_auth_cookies(user))
