"""Superset's clean-up after Celery tasks: what is wrong with it upstream, and that ours steps aside when it is not."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery.signals import task_postrun
from flask import Flask, has_app_context

from superset_ext.host import task_context as postrun


def test_upstream_still_cleans_up_outside_of_a_context() -> None:
    """Intent: when this fails, Superset has mended it, or moved it, and `postrun.py` may go."""
    package = find_spec("superset")
    assert package and package.origin
    tree = ast.parse((Path(package.origin).parent / "tasks" / "celery_app.py").read_text())
    teardown = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "teardown")
    assert "db.session.remove()" in ast.unparse(teardown)
    assert "app_context" not in ast.unparse(teardown)
    assert any("task_postrun.connect" in ast.unparse(decorator) for decorator in teardown.decorator_list)


def test_a_clean_up_that_fails_is_needed_and_one_that_works_is_left_alone() -> None:
    """Intent: whether it is needed is found out by calling it."""

    def broken(_retval: Any) -> None:
        raise RuntimeError("Working outside of application context.")

    assert postrun.needed(broken)
    assert not postrun.needed(lambda _retval: None)


def test_afterwards_it_runs_within_a_context_and_once() -> None:
    """Intent: the receiver is replaced, not added to."""
    seen: list[bool] = []

    def teardown(_retval: Any, *_args: Any, **_kwargs: Any) -> None:
        seen.append(has_app_context())

    task_postrun.connect(teardown, weak=False)
    module = SimpleNamespace(teardown=teardown, flask_app=Flask("contract"))
    before = list(task_postrun.receivers)
    try:
        postrun.mend(module)
        task_postrun.send(sender=None, retval=1)
        assert seen == [True]
    finally:
        task_postrun.receivers = [receiver for receiver in task_postrun.receivers if receiver in before]
        task_postrun.disconnect(teardown)
