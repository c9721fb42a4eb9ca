"""Loads a whole configuration as Superset does, starts its worker and its beat, and prints what it came to as JSON.

python -m testing.configuration
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

CELERY = ("imports", "beat_schedule", "task_routes", "task_queues", "broker_url", "result_backend")


def shown(value: Any) -> Any:
    """A value as JSON; of objects their kind, without where they lie in memory."""
    if isinstance(value, dict):
        return {str(name): shown(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [shown(part) for part in value]
        return sorted(parts, key=str) if isinstance(value, set | frozenset) else parts
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    name = getattr(value, "__qualname__", None)
    return (
        f"{getattr(value, '__module__', '')}.{name}"
        if name
        else re.sub(r" at 0x\w+", "", f"{type(value).__name__} {value!r}")
    )


def celery_names(config: Any) -> dict[str, Any]:
    """All that Celery makes of a config, by its new names."""
    from celery import Celery

    app = Celery("shown", set_as_current=False)
    app.config_from_object(config)
    names = {name: shown(value) for name, value in app.conf.items() if name.islower() and name[0] != "_"}
    names.pop("deprecated_settings", None)  # which old names there are
    return {**names, **{name: shown(getattr(app.conf, name)) for name in CELERY}}


def app_of() -> dict[str, Any]:
    """What a worker and a beat of the app would have; the beat has had its first turn."""
    from celery.beat import Scheduler
    from superset.tasks.celery_app import app, flask_app

    app.loader.import_default_modules()
    beat = Scheduler(app=app)
    beat.setup_schedule()
    beat.tick()
    return {
        "tasks": sorted(app.tasks),
        "queues": sorted(app.amqp.queues.consume_from),
        "beat": sorted(beat.schedule),
        "installed": "superset_ext" in flask_app.extensions,
    }


def work() -> None:
    """Start a worker; once it is ready, say so and end the process."""
    from celery.signals import worker_ready
    from superset.tasks.celery_app import app

    def ready(**_: Any) -> None:
        os.write(1, b"READY\n")  # Celery has taken stdout for its log
        os._exit(0)

    worker_ready.connect(ready)
    app.Worker(pool="solo", concurrency=1, loglevel="CRITICAL", without_gossip=True, without_mingle=True).start()


def main() -> None:
    """See the module."""
    import superset.config as config

    names = {name: shown(value) for name, value in vars(config).items() if name.isupper()}
    own = config.CELERY_CONFIG
    report: dict[str, Any] = {"names": names, "celery": celery_names(own) if own is not None else None}
    if "start" in sys.argv:
        report |= app_of()
    print("TOLD " + json.dumps(report), flush=True)
    if "start" in sys.argv and str(report["celery"]["broker_url"]).startswith("redis"):
        work()


if __name__ == "__main__":
    main()
