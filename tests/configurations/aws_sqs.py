"""AWS: SQS with predefined queues."""

import os

REDIS = os.environ.get("TEST_REDIS", "redis://redis:6379")
SQLALCHEMY_DATABASE_URI = os.environ.get("TEST_DATABASE", "postgresql://superset:superset@db/superset")
SECRET_KEY = "the secret of a configuration in a test, long enough"


class CeleryConfig:
    broker_url = "sqs://"
    imports = ("superset.sql_lab",)
    broker_transport_options = {"region": "eu-west-1", "predefined_queues": {"celery": {"url": "https://sqs/1/celery"}}}
    task_default_queue = "celery"


CELERY_CONFIG = CeleryConfig

from superset_ext.config import *
