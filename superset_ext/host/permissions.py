"""The permissions of the REST API, in Superset's own security."""

from __future__ import annotations

from typing import Any

VIEW_MENU = "Performance"
# Superset makes these with its first database and dataset, which may have been the performance dashboards'.
OF_DATABASES = frozenset({"catalog_access", "schema_access", "datasource_access"})


def reserve_for_admin() -> None:
    """Keep the REST API for Admin: `superset init` gives Gamma and Alpha whatever is not on Superset's list."""
    manager = _manager()
    manager.ADMIN_ONLY_VIEW_MENUS = manager.ADMIN_ONLY_VIEW_MENUS | {VIEW_MENU}


def remove() -> int:
    """Take the REST API's permissions from all roles and delete them; the number of permissions."""
    from superset_ext.host.models import db

    manager = _manager()
    menu = manager.find_view_menu(VIEW_MENU)
    if menu is None:
        return 0
    permissions = manager.find_permissions_view_menu(menu)
    for permission in permissions:
        _take_from_roles(permission)
        db.session.delete(permission)
    db.session.flush()
    db.session.delete(menu)
    _delete_unused({permission.permission.name for permission in permissions} | OF_DATABASES)
    db.session.commit()
    return len(permissions)


def _take_from_roles(permission: Any) -> None:
    for role in _manager().get_all_roles():
        if permission in role.permissions:
            role.permissions.remove(permission)


def _delete_unused(names: set[str]) -> None:
    """Delete kinds of permission that nothing has any more; Superset makes its own again when it needs them."""
    from superset_ext.host.models import db

    manager = _manager()
    for name in names:
        kind = manager.find_permission(name)
        used = db.session.query(manager.permissionview_model).filter_by(permission=kind)
        if kind is not None and used.first() is None:
            db.session.delete(kind)


def _manager() -> Any:
    from superset_ext.host.services import appbuilder

    return appbuilder.sm
