"""Sign-in by OAuth with a mapping of roles."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

from flask_appbuilder.security.manager import AUTH_OAUTH

AUTH_TYPE = AUTH_OAUTH
AUTH_USER_REGISTRATION = True
AUTH_ROLES_MAPPING = {"admins": ["Admin"], "users": ["Gamma"]}
OAUTH_PROVIDERS = [
    {
        "name": "idp",
        "icon": "fa-key",
        "token_key": "access_token",
        "remote_app": {
            "client_id": "id",
            "client_secret": "secret",
            "api_base_url": "https://idp/",
            "authorize_url": "https://idp/a",
            "access_token_url": "https://idp/t",
        },
    }
]


class CeleryConfig:
    broker_url = f"{REDIS}/0"
    imports = ("superset.sql_lab", "superset.tasks.scheduler", "superset.tasks.thumbnails", "superset.tasks.cache")
    result_backend = f"{REDIS}/0"
    worker_prefetch_multiplier = 1
    task_acks_late = False
    beat_schedule = {
        "reports.scheduler": {"task": "reports.scheduler", "schedule": 60},
        "reports.prune_log": {"task": "reports.prune_log", "schedule": 86400},
    }


CELERY_CONFIG = CeleryConfig


from superset_ext.config import *
