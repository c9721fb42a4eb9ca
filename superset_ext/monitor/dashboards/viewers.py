"""Who may see the built-in dashboards: Admin, and everybody who has the role `Performance viewer` beside their own.

The role opens the datasets of the dashboards. Alpha and others who may read all datasets would see them too, so
`host.reserved` closes the database to them, and a row-level rule leaves everybody else without a row. Where
`DASHBOARD_RBAC` is on, the dashboards belong to the role. All functions need an app context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.host.reserved import RULE

VIEWER = "Performance viewer"
RULE_UUID = "0b8a5a36-59d4-4f0b-9a34-8a1f1f6f1c52"
_WHY = "Superset's performance log names queries, charts and people's dashboards; add a role here to let it read them."


def viewer_role() -> Any:
    """The role; it is made if there is none."""
    from superset_ext.host.models import db
    from superset_ext.host.services import security_manager

    role = security_manager.find_role(VIEWER)
    if role is None:
        role = security_manager.role_model(name=VIEWER)
        db.session.add(role)
    return role


def open_to(role: Any, datasets: Sequence[Any]) -> None:
    """Let a role read these datasets too."""
    from superset_ext.host.services import security_manager

    for dataset in datasets:
        permission = security_manager.find_permission_view_menu("datasource_access", dataset.perm)
        if permission is not None and permission not in role.permissions:
            role.permissions.append(permission)


def close_to_others(role: Any, datasets: Sequence[Any]) -> None:
    """Make the row-level rule, or have the existing one cover these datasets too."""
    from superset_ext.host.models import db

    rule = find_rule() or _new_rule(role)
    rule.tables = [*rule.tables, *(dataset for dataset in datasets if dataset not in rule.tables)]
    db.session.add(rule)


def find_rule() -> Any | None:
    """The row-level rule, by its name."""
    from superset_ext.host.models import RowLevelSecurityFilter, db

    return db.session.query(RowLevelSecurityFilter).filter_by(name=RULE).one_or_none()


def remove() -> None:
    """Delete the rule and the role."""
    from superset_ext.host.models import db
    from superset_ext.host.services import security_manager

    for model in (find_rule(), security_manager.find_role(VIEWER)):
        if model is not None:
            db.session.delete(model)


def _new_rule(role: Any) -> Any:
    """A base rule: its clause holds for everybody but its roles."""
    from flask import current_app

    from superset_ext.host.models import RowLevelSecurityFilter, RowLevelSecurityFilterType
    from superset_ext.host.services import security_manager

    admin = security_manager.find_role(current_app.config["AUTH_ROLE_ADMIN"])
    return RowLevelSecurityFilter(
        name=RULE, description=_WHY, filter_type=RowLevelSecurityFilterType.BASE, clause="1 = 0", group_key="",
        roles=[one for one in (admin, role) if one is not None],
    )  # fmt: skip
