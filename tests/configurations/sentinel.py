"""Caches on Redis with Sentinel, as Flask-Caching takes it."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisSentinelCache",
    "CACHE_REDIS_SENTINELS": [("s1", 26379), ("s2", 26379)],
    "CACHE_REDIS_SENTINEL_MASTER": "mymaster",
    "CACHE_DEFAULT_TIMEOUT": 7200,
}
CACHE_CONFIG = DATA_CACHE_CONFIG


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
