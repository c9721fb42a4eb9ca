"""Superset's app as stock makes it, in the process of the tests, for what needs an app and no package."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from types import ModuleType
from typing import Any

import pytest
from celery import _state

CeleryApps = tuple[Any, Any]


@contextmanager
def stock_app(name: str, **changes: Any) -> Iterator[Any]:
    """Make an app from Superset's own configuration.

    Args:
        name: of the module of its configuration.
        changes: names of the configuration that are other than stock.
    """
    with celery_as_before(), pytest.MonkeyPatch.context() as patch:
        own = ModuleType(name)
        vars(own).update(_stock_names(), **changes)
        patch.setitem(sys.modules, name, own)
        from superset.app import create_app
        from superset.extensions import celery_app

        patch.setattr(celery_app, "Task", celery_app.Task)  # Superset puts its own there
        yield create_app(name)


def _stock_names() -> dict[str, Any]:
    """Superset's configuration, made anew: another test of the process may have loaded it with ours in it."""
    known = util.find_spec("superset.config")
    assert known is not None and known.origin is not None
    spec = util.spec_from_file_location("superset_config_as_stock", known.origin)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("SUPERSET")]:
            patch.delenv(variable)
        patch.setitem(sys.modules, "superset_config", None)  # is not found
        patch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.isupper()}


def celery_apps() -> CeleryApps:
    """Celery's default app of the process, and the current one of the thread."""
    return _state.default_app, _state._tls.current_app


def set_celery_apps(apps: CeleryApps) -> None:
    """Make these Celery's again: Superset makes its own that of the process, where other tests have none, or theirs."""
    _state.set_default_app(apps[0])
    _state._set_current_app(apps[1])


@contextmanager
def celery_as_before() -> Iterator[None]:
    """Whatever becomes Celery's app within the block is not afterwards."""
    before = celery_apps()
    yield
    set_celery_apps(before)
