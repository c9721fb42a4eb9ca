"""Who may see the built-in dashboards: Admin, and whoever has the role `Performance viewer` beside their own.

The role opens their datasets. Alpha and whoever else may read all datasets would see them too, so a
row-level rule leaves everybody else without a row, and where `DASHBOARD_RBAC` is on the dashboards
are the role's alone, and shown to nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VIEWER = "Performance viewer"
RULE = "Performance log: rows for Admin and Performance viewer alone"
RULE_UUID = "0b8a5a36-59d4-4f0b-9a34-8a1f1f6f1c52"
_WHY = "Superset's performance log names queries, charts and people's dashboards; add a role here to let it read them."


def viewer() -> Any:
    """The role, made where it is not there."""
    from superset import db, security_manager

    role = security_manager.find_role(VIEWER)
    if role is None:
        role = security_manager.role_model(name=VIEWER)
        db.session.add(role)
    return role


def open_to(role: Any, datasets: Sequence[Any]) -> None:
    """Let a role read datasets; what it may already, or may besides, stays as it is."""
    from superset import security_manager

    for dataset in datasets:
        permission = security_manager.find_permission_view_menu("datasource_access", dataset.perm)
        if permission is not None and permission not in role.permissions:
            role.permissions.append(permission)


def close_to_others(role: Any, datasets: Sequence[Any]) -> None:
    """Make the row-level rule, or have the one that there is cover these datasets too."""
    from superset import db

    rule = find_rule() or _new_rule(role)
    rule.tables = [*rule.tables, *(each for each in datasets if each not in rule.tables)]
    db.session.add(rule)


def find_rule() -> Any | None:
    """The row-level rule, by its name."""
    from superset import db
    from superset.connectors.sqla.models import RowLevelSecurityFilter

    return db.session.query(RowLevelSecurityFilter).filter_by(name=RULE).one_or_none()


def remove() -> None:
    """Take the rule and the role away."""
    from superset import db, security_manager

    for each in (find_rule(), security_manager.find_role(VIEWER)):
        if each is not None:
            db.session.delete(each)


def _new_rule(role: Any) -> Any:
    """A base rule: what it says holds for all but its roles."""
    from flask import current_app
    from superset import security_manager
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.utils.core import RowLevelSecurityFilterType

    admin = security_manager.find_role(current_app.config["AUTH_ROLE_ADMIN"])
    return RowLevelSecurityFilter(
        name=RULE, description=_WHY, filter_type=RowLevelSecurityFilterType.BASE, clause="1 = 0", group_key="",
        roles=[each for each in (admin, role) if each is not None],
    )  # fmt: skip
