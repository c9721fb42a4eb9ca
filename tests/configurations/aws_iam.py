"""AWS: RDS with IAM tokens by a creator, results in S3."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

import sqlite3

from cachelib.base import BaseCache


class S3Cache(BaseCache):
    """Stands for the S3 backend of Superset's documentation."""


def connect():
    return sqlite3.connect(SQLALCHEMY_DATABASE_URI.removeprefix("sqlite:///"))


SQLALCHEMY_ENGINE_OPTIONS = {"creator": connect, "pool_pre_ping": True, "pool_recycle": 600}
RESULTS_BACKEND = S3Cache()
CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": 300,
    "CACHE_KEY_PREFIX": "superset_",
    "CACHE_REDIS_URL": f"{REDIS}/1",
}


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
