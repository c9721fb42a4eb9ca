"""Celery by a dict."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

CELERY_CONFIG = {
    "broker_url": f"{REDIS}/0",
    "result_backend": f"{REDIS}/0",
    "imports": ["superset.sql_lab"],
    "task_annotations": {"sql_lab.get_sql_results": {"rate_limit": "100/s"}},
    "task_routes": {"sql_lab.*": {"queue": "sql"}},
    "timezone": "Europe/Berlin",
}

from superset_ext.config import *
