"""Lets Superset's own clean-up after a Celery task run within an app context.

Superset 6.1's `superset.tasks.celery_app.teardown` uses the database session after each task, when the
task's app context has gone: it raises, Celery logs a traceback for every task, and the session stays as
it is. It is a receiver of Celery's documented signal `task_postrun`; here it is taken from there, and
called within a context. Where it works by itself, which `needed` finds out by calling it, it is left alone.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from celery.signals import task_postrun, worker_init

logger = logging.getLogger(__name__)

MODULE = "superset.tasks.celery_app"


def install() -> None:
    """See to it when a worker starts, which is after Superset's module was loaded."""
    worker_init.connect(_on_worker, weak=False)


def _on_worker(**_: Any) -> None:
    module = import_module(MODULE)
    if needed(module.teardown):
        mend(module)


def needed(teardown: Any) -> bool:
    """Whether Superset's clean-up fails outside of an app context."""
    try:
        teardown(None)
    except RuntimeError:
        return True
    return False


def mend(module: Any) -> None:
    """Put our receiver in the place of Superset's."""
    stock = module.teardown

    def teardown(retval: Any = None, *args: Any, **kwargs: Any) -> None:
        with module.flask_app.app_context():
            stock(retval, *args, **kwargs)

    task_postrun.disconnect(stock)
    task_postrun.connect(teardown, weak=False)
