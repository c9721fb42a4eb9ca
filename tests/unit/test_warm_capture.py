"""Capturing the requests of people costs none of them an answer, whatever they send and whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from flask import Flask

from superset_ext.core import warn_once
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import failures
from superset_ext.events import WARM, Answer, Asked, Scope
from superset_ext.host.scope import is_warming
from superset_ext.settings import load
from superset_ext.warm.registry import capture
from superset_ext.warm.registry.capture import HEADER, credential
from superset_ext.warm.registry.registry import Registry

SECRET = "the secret of the tests"
HOUR = 3600


@pytest.fixture
def registry() -> Registry:
    return Registry(LogDatabase("postgresql://nobody@127.0.0.1:9/none"), load({}))


@pytest.fixture
def app(registry: Registry) -> Flask:
    """An app with one endpoint of chart data, which says whether the request is taken for warming's own."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = SECRET
    capture.install(app, registry)

    def data() -> str:
        capture._collect("web", Asked(Scope(), (Answer("key", True, None, 1.0),)))
        return WARM if is_warming() else "people"

    app.add_url_rule("/api/v1/chart/data", "ChartDataRestApi.data", data, methods=["POST"])
    return app


@pytest.mark.parametrize(
    ("value", "taken_for"),
    [
        (lambda hour: credential(SECRET, hour), WARM),
        (lambda hour: credential(SECRET, hour - 1), WARM),
        (lambda hour: credential(SECRET, hour - 2), "people"),
        (lambda hour: credential("another secret", hour), "people"),
        (lambda hour: "", "people"),
        (lambda hour: "\xe4\xff", "people"),
    ],
    ids=["ours", "ours of the last hour", "old", "forged", "empty", "not ASCII"],
)
def test_only_our_browser_is_no_person(
    app: Flask, monkeypatch: pytest.MonkeyPatch, value: Callable[[int], str], taken_for: str
) -> None:
    """Intent: the header holds for two hours and cannot be made up, and no value of it fails the request."""
    hour = int(time.time()) // HOUR
    monkeypatch.setattr(capture, "time", SimpleNamespace(time=lambda: hour * HOUR + 1.0))
    answer = app.test_client().post("/api/v1/chart/data", headers={HEADER: value(hour)})
    assert (answer.status_code, answer.text) == (200, taken_for)


def test_a_request_that_cannot_be_noted_is_answered_all_the_same(
    app: Flask, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: the answer is made by then, and a fault of ours is not its reader's."""

    def fails() -> None:
        raise RuntimeError("no such user")

    monkeypatch.setattr(capture, "current_identity", fails)
    monkeypatch.setattr(warn_once, "_last", {})
    before = failures["remembering a request for warming"]
    answer = app.test_client().post("/api/v1/chart/data", json={})
    assert (answer.status_code, answer.text) == (200, "people")
    assert len(registry.queue) == 0
    assert failures["remembering a request for warming"] == before + 1
    assert "remembering a request for warming failed (RuntimeError)" in caplog.text
