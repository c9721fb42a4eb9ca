"""What a Celery worker says of itself when the doctor asks it.

Celery loads this with the tasks. The answer comes from the worker's main process, so it is given while its children
are busy.
"""

from __future__ import annotations

import hmac
import time
from typing import Any

from celery.worker.control import inspect_command

NAME = "superset_ext_report"


def secret(app: Any) -> str:
    """A text that is the same for who has the same SECRET_KEY."""
    return hmac.new(str(app.config["SECRET_KEY"]).encode(), b"superset_ext doctor", "sha256").hexdigest()[:16]


@inspect_command(name=NAME)  # type: ignore[untyped-decorator]
def superset_ext_report(state: Any) -> dict[str, Any]:
    """This worker's clock and queues, the regions that it does not reach, and what it signs with."""
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
