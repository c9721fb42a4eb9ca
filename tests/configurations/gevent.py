"""Gevent workers: pools without a limit, and asynchronous queries."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

from sqlalchemy.pool import NullPool

SQLALCHEMY_ENGINE_OPTIONS = {"poolclass": NullPool}
GLOBAL_ASYNC_QUERIES_JWT_SECRET = "a secret of at least thirty-two characters"


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

CeleryConfig.worker_pool = "gevent" if os.environ.get("TEST_GEVENT") else "solo"

from superset_ext.config import *
