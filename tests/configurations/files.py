"""Caches in files."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

FOLDER = os.environ.get("TEST_FOLDER", "/var/cache/superset")
CACHE_CONFIG = {"CACHE_TYPE": "FileSystemCache", "CACHE_DIR": FOLDER, "CACHE_DEFAULT_TIMEOUT": 3600}
DATA_CACHE_CONFIG = {"CACHE_TYPE": "flask_caching.backends.FileSystemCache", "CACHE_DIR": FOLDER}

from superset_ext.config import *
