"""The config that Superset's Helm chart renders."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

from cachelib.redis import RedisCache

MAPBOX_API_KEY = os.getenv("MAPBOX_API_KEY", "")
CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache",
    "CACHE_DEFAULT_TIMEOUT": 300,
    "CACHE_KEY_PREFIX": "superset_",
    "CACHE_REDIS_URL": f"{REDIS}/1",
}
DATA_CACHE_CONFIG = CACHE_CONFIG
SQLALCHEMY_TRACK_MODIFICATIONS = True


class CeleryConfig:
    imports = ("superset.sql_lab",)
    broker_url = f"{REDIS}/0"
    result_backend = f"{REDIS}/0"


CELERY_CONFIG = CeleryConfig
RESULTS_BACKEND = RedisCache(host="redis", key_prefix="superset_results")

from superset_ext.config import *
