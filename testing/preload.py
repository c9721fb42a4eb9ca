"""Imports what Superset's programs import, so that a fork of this process need not (see `testing/zygote.py`)."""

from __future__ import annotations

import ast
import gc
import importlib
import logging
import pkgutil
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

# Imported by whoever makes an app, or once it is made; a fork must find them not imported yet.
LATE = ("superset.config", "superset_config", "superset_config_local", "superset_ext.config")
PROGRAMS = (
    "superset.cli.main",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.bin.beat",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "celery.backends.redis",
    "kombu.transport.redis",
    "psycopg2.extras",
    "superset.commands.chart.data.get_data_command",
    "superset.charts.schemas",
    "superset.db_engine_specs.postgres",
    "superset.daos.tasks",
    "superset.tasks.decorators",
    "superset.extensions.metastore_cache",
    "superset.migrations.shared.security_converge",
    "superset.views.auth",
    "flask_cors",
)


def preload() -> None:
    """Import what Superset, gunicorn and Celery will, within the context of an app that is thrown away."""
    from flask import Flask, current_app
    from flask_babel import Babel
    from sqlalchemy.orm import configure_mappers
    from superset.extensions import appbuilder, encrypted_field_factory
    from superset.initialization import SupersetAppInitializer
    from werkzeug.local import LocalProxy

    from superset_ext import settings

    bare = Flask("bare")
    bare.config.from_object("superset.config")
    Babel(bare)  # some modules translate while they are imported
    SupersetAppInitializer(bare).configure_db_encrypt()
    _log_with_the_app_s_own()
    # Models keep the config whose SECRET_KEY they are to use: that of whichever app there will be.
    vars(encrypted_field_factory)["_config"] = LocalProxy(lambda: current_app.config)
    appbuilder.sm = _Later(appbuilder)
    with bare.app_context():
        for name in (*_initialisers_imports(), *PROGRAMS, *_ours()):
            importlib.import_module(name)
        configure_mappers()
    appbuilder.sm = None
    for name in LATE:
        sys.modules.pop(name, None)
        parent, _, child = name.rpartition(".")
        if parent:
            vars(sys.modules[parent]).pop(child, None)
    settings.current.cache_clear()
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert not threads, f"a fork would lack these threads: {threads}"
    logging.root.handlers.clear()  # somebody logged, which makes one
    gc.collect()
    gc.freeze()


def _log_with_the_app_s_own() -> None:
    """Views are decorated with the logger that there is when they are imported: theirs asks the app's, once there is
    one."""
    from superset.extensions import _event_logger
    from superset.utils.log import AbstractEventLogger

    class Current(AbstractEventLogger):  # type: ignore[misc]
        def log(self, *args: Any, **kwargs: Any) -> None:
            _event_logger["event_logger"].log(*args, **kwargs)

        def log_with_context(self, *args: Any, **kwargs: Any) -> None:
            _event_logger["event_logger"].log_with_context(*args, **kwargs)

    _event_logger["event_logger"] = Current()


class _Later:
    """The security manager that there is not yet: models name its classes, and listen with its methods to events."""

    def __init__(self, appbuilder: Any) -> None:
        self._appbuilder = appbuilder

    def __getattr__(self, name: str) -> Any:
        from superset.security import SupersetSecurityManager

        attribute = getattr(SupersetSecurityManager, name)
        if not isinstance(attribute, FunctionType):
            return attribute
        return lambda *arguments: getattr(self._appbuilder.sm, name)(*arguments)


def _initialisers_imports() -> Iterator[str]:
    """The modules that Superset imports within the functions that make an app, in their order."""
    spec = find_spec("superset.initialization")
    assert spec and spec.origin
    yield "superset.app"
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("superset."):
            yield node.module


def _ours() -> Iterator[str]:
    import superset_ext

    for module in pkgutil.walk_packages(superset_ext.__path__, "superset_ext."):
        if module.name not in LATE and not module.name.startswith("superset_ext.embedded"):
            yield module.name
