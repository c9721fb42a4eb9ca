"""Celery's SQLite broker in the old names, imports a string."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

CELERY_CONFIG = {
    "BROKER_URL": "sqla+sqlite:///celerydb.sqlite",
    "CELERY_RESULT_BACKEND": "db+sqlite:///results.sqlite",
    "CELERY_IMPORTS": "superset.sql_lab",
}

from superset_ext.config import *
