"""Capturing the requests of people costs none of them an answer, whatever they send and whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.test import EnvironBuilder, run_wsgi_app

from superset_ext.core import warn_once
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import failures, tell
from superset_ext.events import WARM, Answer, Asked, Scope
from superset_ext.host.bodies import read
from superset_ext.host.given_again import GivenAgain, given_again
from superset_ext.host.people import Identity
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


def somebody() -> Identity:
    """Who asks."""
    return Identity(7)


def made(registry: Registry, *hooks: Callable[[Response], Response]) -> Flask:
    """An app with one endpoint of chart data, which says whether the request is taken for warming's own.

    Args:
        hooks: of an administrator, which see each answer.
    """
    app = Flask(__name__)
    app.config["SECRET_KEY"] = SECRET
    for hook in hooks:
        app.after_request(hook)
    capture.install(app, registry)

    def data() -> str:
        capture._collect("web", Asked(Scope(), (Answer("key", True, None, 1.0),)))
        return WARM if is_warming() else "people"

    app.add_url_rule("/api/v1/chart/data", "ChartDataRestApi.data", data, methods=["POST"])
    return app


@pytest.fixture
def app(registry: Registry) -> Flask:
    """The same without hooks."""
    return made(registry)


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


@pytest.mark.parametrize("where", ["current_identity", "chart_request"])
@pytest.mark.parametrize("server", ["gunicorn/23", "another"])
def test_a_request_that_cannot_be_noted_is_answered_all_the_same(
    app: Flask,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    server: str,
) -> None:
    """Intent: the answer is made by then, and a fault of ours is not its reader's: neither before the answer is sent
    nor behind it."""

    def fails(*_: object) -> None:
        raise RuntimeError("no such user")

    monkeypatch.setattr(capture, "current_identity", somebody)
    monkeypatch.setattr(capture, where, fails)
    monkeypatch.setattr(warn_once, "_last", {})
    before = failures["remembering a request for warming"]
    answer = app.test_client().post("/api/v1/chart/data", json={}, environ_overrides={"SERVER_SOFTWARE": server})
    answer.close()
    assert (answer.status_code, answer.text) == (200, "people")
    assert len(registry.queue) == 0
    assert failures["remembering a request for warming"] == before + 1
    assert "remembering a request for warming failed (RuntimeError)" in caplog.text


_FORM = '{"viz_type": "table"}'
BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "JSON": lambda: {"json": {"queries": []}},
    "a form": lambda: {"data": {"form_data": _FORM}},
    "a form with a file": lambda: {"data": {"form_data": _FORM, "file": (BytesIO(b"a file"), "f.csv")}},
    "bytes that are no text": lambda: {"data": b"\xff\xfe", "content_type": "application/json"},
}


@pytest.mark.parametrize("body", BODIES)
def test_what_is_noted_behind_an_answer_is_what_was_asked(
    app: Flask, registry: Registry, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """Intent: the request has ended by then, and its view has read nothing; its body is noted all the same, as it is
    under a server that does not say when an answer is sent."""
    monkeypatch.setattr(capture, "current_identity", somebody)
    noted = []
    for server in ("another", "gunicorn/23"):
        builder = EnvironBuilder("/api/v1/chart/data?a=b", method="POST", **BODIES[body]())
        environ = builder.get_environ() | {"SERVER_SOFTWARE": server}
        answer, status, _ = run_wsgi_app(app, environ)
        environ["wsgi.input"].close()  # as a server goes on to the next request
        answer.close()  # type: ignore[attr-defined]
        assert status == "200 OK"
        (use,) = registry.queue.take()
        registry.queue.done([use])
        noted.append(use.request)
    assert noted[0] == noted[1] and noted[0].args == "a=b" and noted[0].is_form is ("form" in body)
    assert noted[0].body == ("\ufffd\ufffd" if body.startswith("bytes") else noted[0].body) and noted[0].body


def test_what_replaces_an_answer_does_not_keep_it_from_being_noted(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: an administrator's hook makes another response of it; that one is closed, and not the one before."""
    monkeypatch.setattr(capture, "current_identity", somebody)
    app = made(registry, lambda response: Response(response.get_data(), content_type="text/plain"))
    environ = EnvironBuilder("/api/v1/chart/data", method="POST", json={}).get_environ()
    answer, _, headers = run_wsgi_app(app, environ | {"SERVER_SOFTWARE": "gunicorn/23"})
    answer.close()  # type: ignore[attr-defined]
    assert headers["Content-Type"] == "text/plain"
    assert len(registry.queue) == 1


def test_what_is_given_again_is_noted_by_the_app_that_gave_it(app: Flask, registry: Registry) -> None:
    """Intent: an answer that is given again is wanted like any other, once, and told of when its request has ended;
    nothing is noted of an answer that was made of no query, or of none that counts."""
    other = Registry(LogDatabase("postgresql://nobody@127.0.0.1:9/none"), load({}))
    made(other)
    with app.test_request_context("/api/v1/chart/data?a=b", method="POST", json={"queries": []}):
        asked = read(request._get_current_object())  # type: ignore[attr-defined]
    counted, warmed = (Asked(Scope(counted=counts), (Answer("key", True, None, 1.0),)) for counts in (True, False))
    for queries in ((counted,), (warmed,), ()):
        tell(given_again, app, GivenAgain(asked, somebody(), queries, 5.0))
    (use,) = registry.queue.take()
    assert (use.request.body, use.request.args, use.identity, use.at) == ('{"queries": []}', "a=b", somebody(), 5.0)
    assert len(other.queue) == 0
