"""Celery by an instance, its imports one string."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"


class CeleryConfig:
    def __init__(self):
        self.broker_url = f"{REDIS}/0"
        self.imports = "superset.sql_lab"
        self.beat_schedule = {"reports.scheduler": {"task": "reports.scheduler", "schedule": 60}}


CELERY_CONFIG = CeleryConfig()

from superset_ext.config import *
