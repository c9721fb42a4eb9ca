"""Celery by a dotted path."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
CELERY_CONFIG = "_celeryconfig:Config"

from superset_ext.config import *
