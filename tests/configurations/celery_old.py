"""Celery in the old names, none of them CELERY_IMPORTS."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"


class CeleryConfig:
    BROKER_URL = f"{REDIS}/0"
    CELERY_RESULT_BACKEND = f"{REDIS}/0"
    CELERYD_PREFETCH_MULTIPLIER = 10
    CELERY_ACKS_LATE = True


CELERY_CONFIG = CeleryConfig

from superset_ext.config import *
