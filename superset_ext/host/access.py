"""What of Superset's objects the current user may see. Everything here needs a request with its user."""

from __future__ import annotations

from typing import Any


def may_see(subject: str) -> bool:
    """Whether the current user may see what a recommendation is about, as `dataset:12`; what is no object of Superset,
    as a region, everybody may. Of what is gone, only administrators are told."""
    kind, _, number = subject.partition(":")
    check = {"dataset": _dataset, "chart": _chart, "dashboard": _dashboard}.get(kind)
    return check is None or not number.isdecimal() or check(int(number))


def _dataset(number: int) -> bool:
    from superset_ext.host.models import SqlaTable

    return _has_access(SqlaTable, number, "datasource")


def _chart(number: int) -> bool:
    from superset_ext.host.models import Slice

    return _has_access(Slice, number, "chart")


def _dashboard(number: int) -> bool:
    from superset_ext.host.models import Dashboard

    return _has_access(Dashboard, number, "dashboard")


def _has_access(model: Any, number: int, argument: str) -> bool:
    from superset.exceptions import SupersetSecurityException

    from superset_ext.host.models import db
    from superset_ext.host.services import security_manager

    thing = db.session.get(model, number)
    if thing is None:
        return bool(security_manager.is_admin())
    try:
        security_manager.raise_for_access(**{argument: thing})
    except SupersetSecurityException:
        return False
    return True
