"""What a Celery worker reports about itself: for the doctor, and for whoever must know whether one still runs.

Celery loads this with the tasks. A worker's main process answers, so it answers while its children are busy.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

from celery.worker.control import inspect_command

NAME = "superset_ext_report"
Reports = Mapping[str, Mapping[str, Any]]


def reports(timeout: float) -> Reports:
    """What the workers report that answer within `timeout` seconds, by the worker's name.

    Raises:
        Exception: whatever the broker's transport raises where the broker does not answer.
    """
    from superset_ext.host.services import celery_app

    replies = celery_app.control.broadcast(NAME, reply=True, timeout=timeout) or []
    return {name: report for reply in replies for name, report in reply.items()}


def secret(app: Any) -> str:
    """A text that is the same in all processes that have the same SECRET_KEY."""
    return hmac.new(str(app.config["SECRET_KEY"]).encode(), b"superset_ext doctor", "sha256").hexdigest()[:16]


@inspect_command(name=NAME)  # type: ignore[untyped-decorator]
def superset_ext_report(state: Any) -> dict[str, Any]:
    """This worker's clock, its queues, the regions that it does not reach, and what it signs with."""
    from superset.tasks.celery_app import flask_app

    from superset_ext.host.regions import regions
    from superset_ext.package import EXTENSION

    with flask_app.app_context():
        unreached = [name for name, cache in regions(flask_app).items() if cache.server_info() is None]
    return {
        "time": time.time(),
        "queues": [queue.name for queue in state.consumer.task_consumer.queues],
        "unreached": unreached,
        "results": type(flask_app.config.get("RESULTS_BACKEND")).__name__,
        "secret": secret(flask_app),
        "switched_on": EXTENSION in flask_app.extensions,
    }
