"""A Celery config in a module of its own."""

import os


class Config:
    broker_url = os.environ.get("TEST_REDIS", "redis://redis:6379") + "/0"
    imports = ("superset.sql_lab",)
