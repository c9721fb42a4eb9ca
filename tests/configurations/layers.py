"""A production config over a base config, both ending with the line."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _base import *

FEATURE_FLAGS = {"PRODUCTION": True}
SQL_MAX_ROW = 5000


class CeleryConfig(CELERY_CONFIG):
    broker_url = f"{REDIS}/0"
    worker_prefetch_multiplier = 10


CELERY_CONFIG = CeleryConfig

from superset_ext.config import *
