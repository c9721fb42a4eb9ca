"""Several queues, a list of routers, priorities."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"

from kombu import Queue

CELERY_CONFIG = {
    "broker_url": f"{REDIS}/0",
    "imports": {"superset.sql_lab"},
    "task_queues": (Queue("celery"), Queue("reports", routing_key="reports")),
    "task_queue_max_priority": 5,
    "task_routes": ([("reports.*", {"queue": "reports"})],),
}

from superset_ext.config import *
