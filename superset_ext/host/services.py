"""What a running Superset offers: its security, its Celery app, its caches, its API.

Import this inside functions: Superset can be imported only once its configuration is loaded.
"""

from __future__ import annotations

from superset.extensions import (
    appbuilder,
    cache_manager,
    celery_app,
    machine_auth_provider_factory,
    security_manager,
)
from superset.utils.core import get_user_id, get_username, override_user

__all__ = [
    "appbuilder",
    "cache_manager",
    "celery_app",
    "get_user_id",
    "get_username",
    "machine_auth_provider_factory",
    "override_user",
    "security_manager",
]
