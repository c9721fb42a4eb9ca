"""Sessions that a process remembers, beside Flask's own."""

from __future__ import annotations

import random
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request, session
from flask.sessions import SecureCookieSessionInterface

from superset_ext.host import sessions
from superset_ext.host.sessions import RememberingSerializer, RememberingSessions, install

SECRET = "a secret key of this test"
KEPT = {"_user_id": "1", "_fresh": True, "locale": "en", "csrf_token": "token"}
MESSAGES = {**KEPT, "_flashes": [("message", "text")]}


def _app(remembers: bool, secret: str = SECRET, **config: Any) -> Flask:
    """An app whose one page writes a number into the session and says all that is in it."""
    app = Flask("testing")
    app.config.update(SECRET_KEY=secret, SECRET_KEY_FALLBACKS=None, **config)
    if remembers:
        install(app)

    @app.get("/")
    def page() -> str:
        seen = sorted((name, repr(value)) for name, value in session.items())
        session.setdefault("_flashes", []).append("seen by this request alone")
        return repr(seen)

    return app


def _cookie(app: Flask, content: dict[str, Any]) -> str:
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return str(serializer.dumps(content))


def _answer(app: Flask, cookie: str) -> Response:
    return app.test_client(use_cookies=False).get("/", headers={"Cookie": f"session={cookie}"})


def test_each_answer_is_flasks_own() -> None:
    """Intent: for cookies as they are, changed at any place, cut off, put together of two, signed by another key, by an
    earlier one and too old, each asked three times, the page and the cookie that it sets are those of plain Flask."""
    draw, earlier = random.Random(1), "an earlier key"
    plain, own = (_app(remembers) for remembers in (False, True))
    for app in (plain, own):
        app.config["SECRET_KEY_FALLBACKS"] = [earlier]
    first, second = _cookie(plain, KEPT), _cookie(plain, {"_user_id": "2", "at": datetime(2026, 1, 1)})
    cookies = [
        first,
        second,
        _cookie(plain, MESSAGES),
        "",
        "a.b.c",
        _cookie(_app(False, earlier), KEPT),
        _cookie(_app(False, "another"), KEPT),
    ]
    for _ in range(200):
        place, one = draw.randrange(len(first)), draw.choice((first, second))
        cookies += [one[:place] + draw.choice("aZ0_-.") + one[place + 1 :], one[:place], first[:place] + second[place:]]
    for cookie in cookies:
        for _ in range(3):
            expected, answer = _answer(plain, cookie), _answer(own, cookie)
            assert answer.data == expected.data, cookie
            assert ("Set-Cookie" in answer.headers) == ("Set-Cookie" in expected.headers), cookie
    assert _answer(own, first).data != _answer(own, "").data


def test_a_cookie_that_is_known_grows_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a cookie that was read before is refused once it is older than a session may be, and so is one from the
    future, to the second as plain Flask does it."""
    plain, own = (_app(remembers, PERMANENT_SESSION_LIFETIME=100) for remembers in (False, True))
    cookie, now = _cookie(plain, KEPT), int(time.time())
    assert _answer(own, cookie).data == _answer(plain, cookie).data
    for later in (99, 100, 101, 102, 10_000, 0, -1, -2, 50):
        monkeypatch.setattr(time, "time", lambda later=later: now + later + 0.5)
        assert _answer(own, cookie).data == _answer(plain, cookie).data, later


def test_another_key_knows_no_cookie() -> None:
    """Intent: after the key of an app has changed, what it knew under the old one is refused."""
    app = _app(True)
    cookie = _cookie(app, KEPT)
    assert b"_user_id" in _answer(app, cookie).data
    app.secret_key = "another key"
    assert b"_user_id" not in _answer(app, cookie).data
    app.secret_key = None
    assert app.session_interface.get_signing_serializer(app) is None  # type: ignore[attr-defined]


def test_what_a_request_writes_is_its_own() -> None:
    """Intent: what a request writes into its session, in place too, the next one with the same cookie does not see."""
    app = _app(True)
    for content in (KEPT, MESSAGES):
        cookie = _cookie(app, content)
        assert len({_answer(app, cookie).data for _ in range(3)}) == 1


def test_cookies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: more cookies than may be remembered are still all read; the memory begins anew."""
    monkeypatch.setattr(sessions, "MOST", 10)
    app = _app(True)
    for number in range(35):
        assert f"'{number}'".encode() in _answer(app, _cookie(app, {"_user_id": str(number)})).data
        serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        assert isinstance(serializer, RememberingSerializer) and len(serializer._known) <= 10


def test_another_kind_of_sessions_is_left_alone() -> None:
    """Intent: sessions that somebody else keeps, on a server or by a class of their own, stay theirs."""

    class Another(SecureCookieSessionInterface):
        """A class of somebody's own."""

    app = Flask("testing")
    app.session_interface = another = Another()
    install(app)
    assert app.session_interface is another
    app.session_interface = SecureCookieSessionInterface()
    install(app)
    assert type(app.session_interface) is RememberingSessions


@pytest.mark.parametrize(
    ("path", "varies"),
    [
        ("assets/theme.0123456789abcdef0123.entry.js", False),
        ("assets/0123456789abcdef0123.chunk.js", False),
        ("assets/Area1.b13966ae.png", False),
        ("assets/manifest.json", True),
        ("assets/images/favicon.png", True),
        ("assets/0123456789abcdef0123.d/plain.js", True),
    ],
)
def test_files_that_last_do_not_depend_on_the_cookie(tmp_path: Path, path: str, varies: bool) -> None:
    """Intent: a file with a digest in its name is not asked for again after a log-in, however the session was read
    before; another file and a page are, and a session that was changed is saved with a file too."""
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text("text")
    app = Flask("testing", static_folder=str(tmp_path), static_url_path="/static")
    app.secret_key = SECRET
    install(app)

    @app.before_request
    def read() -> None:
        if session.get("locale") and request.headers.get("Accept-Language"):
            session["locale"] = "de"

    app.add_url_rule("/page", "page", lambda: "page")
    headers = {"Cookie": f"session={_cookie(app, KEPT)}"}
    client = app.test_client(use_cookies=False)
    assert ("Cookie" in client.get(f"/static/{path}", headers=headers).headers.get("Vary", "")) is varies
    assert "Cookie" in client.get("/page", headers=headers).headers["Vary"]
    changed = client.get(f"/static/{path}", headers={**headers, "Accept-Language": "de"})
    assert changed.status_code == 200 and "Cookie" in changed.headers["Vary"] and "Set-Cookie" in changed.headers
