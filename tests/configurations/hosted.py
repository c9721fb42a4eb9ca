"""A hosted service's: a cache for each purpose, long timeouts, many flags."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

DAY = 86400
CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": DAY,
    "CACHE_KEY_PREFIX": "meta_",
    "CACHE_REDIS_URL": f"{REDIS}/2",
}
DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": DAY,
    "CACHE_KEY_PREFIX": "data_",
    "CACHE_REDIS_URL": f"{REDIS}/3",
}
FILTER_STATE_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": 90 * DAY,
    "CACHE_KEY_PREFIX": "filter_",
    "CACHE_REDIS_URL": f"{REDIS}/4",
}
EXPLORE_FORM_DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": 7 * DAY,
    "CACHE_KEY_PREFIX": "explore_",
    "CACHE_REDIS_URL": f"{REDIS}/5",
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

FEATURE_FLAGS = {"EMBEDDED_SUPERSET": True, "ENABLE_TEMPLATE_PROCESSING": True, "TAGGING_SYSTEM": True}
GUEST_ROLE_NAME = "Gamma"
TALISMAN_ENABLED = False

from superset_ext.config import *
