"""What a granted answer costs, and what is spared: each saving, and that nothing is spared that must be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response

from superset_ext.core.signals import failures
from superset_ext.errors import StoreUnavailable
from superset_ext.grants import identity, judge, refusals
from superset_ext.grants.identity import Caller
from superset_ext.grants.judge import Grant, Judge
from superset_ext.host.behind import behind
from superset_ext.host.people import Identity

OLD, NEW = ("old", "anchor"), ("new", "anchor")
WHO = Caller("jwt", Identity(7))


class Rights:
    """Says which mark holds, and counts what it is asked."""

    def __init__(self) -> None:
        self.current = OLD
        self.asked: list[str] = []

    def ready(self) -> bool:
        return True

    def now(self) -> tuple[str, str]:
        self.asked.append("now")
        return self.current

    def holds(self, mark: tuple[str, str], dashboards: Sequence[int] | None = None, early: Any = None) -> bool:
        what = f"holds {mark[0]}" + ("" if dashboards is None else f" of {list(dashboards)}")
        self.asked.append(what + ("" if early is None else f", {early}"))
        return mark == self.current


class Region:
    """Keeps one grant."""

    def __init__(self) -> None:
        self.mark: tuple[str, str] | None = OLD
        self.dashboards: tuple[int, ...] | None = None
        self.is_away = False

    def grant(self, _key: str, read: Callable[[Any], Any]) -> Any:
        if self.is_away:
            raise StoreUnavailable("away")
        if self.mark is None:
            return None
        replayed = "[]", "[[], []]"
        grant = Grant(
            self.mark, "application/json", None, (b"{}",), (), False, None, replayed, dashboards=self.dashboards
        )
        return None, read(grant.packed())


@pytest.fixture
def rights() -> Rights:
    """Rights that nobody has changed."""
    return Rights()


@pytest.fixture
def region() -> Region:
    """A region with a grant."""
    return Region()


def given(judge: Judge) -> bool:
    """Whether the answer was given again."""
    return judge.granted("key") is not None


def test_rights_are_asked_once_for_each_answer(rights: Rights, region: Region) -> None:
    """Intent: what was begun when the request came is what is asked; it is asked anew for each answer."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert [given(judge) for _ in range(2)] == [True] * 2
    assert judge.granted("key", early="begun") is not None  # type: ignore[arg-type]
    assert rights.asked == ["holds old", "holds old", "holds old, begun"]


def test_a_change_ends_a_grant_that_was_just_given(rights: Rights, region: Region) -> None:
    """Intent: what was known of the mark a moment ago is not taken for an answer."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert given(judge) and judge.gave("key")
    rights.current = NEW
    assert not given(judge) and not judge.gave("key")


def test_the_grants_own_mark_and_dashboards_are_asked_about(rights: Rights, region: Region) -> None:
    """Intent: another process has stored the grant anew, which has read something else than the one before."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    region.dashboards = (7,)
    assert given(judge)
    region.dashboards = None
    assert given(judge)
    region.mark = NEW
    assert not given(judge)
    assert rights.asked == ["holds old of [7]", "holds old", "holds new"]


def test_where_nobody_can_say_nothing_is_given_and_the_mark_stays(rights: Rights, region: Region) -> None:
    """Intent: a metadata database that is busy ends no grant, and is not asked for another mark because of that."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert judge.mark() == OLD
    rights.holds = lambda *_: None  # type: ignore[method-assign, assignment, return-value]
    assert not given(judge) and judge.mark() == OLD
    assert rights.asked == ["now"]


def test_redis_away_is_told(rights: Rights, region: Region) -> None:
    """Intent: who asks says why nothing is given."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    region.is_away = True
    with pytest.raises(StoreUnavailable):
        given(judge)


def test_a_mark_serves_for_a_moment_and_until_something_is_written(
    rights: Rights, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: the requests of a moment ask once; a mark under which nothing would hold is not used again."""
    now = [0.0]
    monkeypatch.setattr(judge, "time", SimpleNamespace(monotonic=lambda: now[0]))
    one = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert [one.mark(), one.mark()] == [OLD, OLD]
    assert rights.asked == ["now"]
    rights.current = NEW
    assert not given(one)
    assert one.mark() == NEW
    now[0] = 10.0
    one.mark()
    assert rights.asked == ["now", "holds old", "now", "now"]


def test_a_grant_lives_from_when_its_request_came(rights: Rights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: where nothing tells of a change, the limit is all that ends an answer: a slow request does not extend it,
    and one that took as long leaves nothing."""
    monkeypatch.setattr(judge, "time", SimpleNamespace(monotonic=lambda: 107.0))
    kept: list[float] = []
    region = SimpleNamespace(
        keep_grant=lambda _key, _value, _parts, seconds: not kept.append(seconds),  # type: ignore[func-returns-value]
        keep_document=lambda _key, _value, seconds: not kept.append(seconds),  # type: ignore[func-returns-value]
    )
    one = Judge(region, rights, 10.0)  # type: ignore[arg-type]
    grants = [Grant(OLD, "text", None, (b"x",), (), False, None, ("", ""), is_document=of) for of in (False, True)]
    assert [one.keep("key", grant, {}, 104.0) for grant in grants] == [True, True]
    assert not any(one.keep("key", grant, {}, 97.0) for grant in grants)
    assert kept == [7.0, 7.0]


@pytest.fixture
def app() -> Flask:
    """An app without Superset."""
    return Flask(__name__)


def test_a_token_is_read_once_and_ends_when_it_says(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: its signature is checked once; from its last second on it is read as if nobody had seen it."""
    now, read = [100.0], []

    def check(token: str) -> tuple[Caller | None, dict[str, Any]]:
        read.append(token)
        if now[0] >= 160:
            raise ValueError("expired")
        return WHO, {"exp": 160}

    monkeypatch.setattr(identity, "time", SimpleNamespace(time=lambda: now[0]))
    assert [identity._read(app, "t", check) for _ in range(3)] == [WHO] * 3
    assert read == ["t"]
    now[0] = 99.0  # a clock that was put back: it may not be valid yet
    assert identity._read(app, "t", check) == WHO
    now[0] = 160.0
    assert identity._read(app, "t", check) is None
    assert identity._read(app, "other", check) is None
    assert read == ["t", "t", "t", "other"]


def test_a_token_that_is_refused_is_not_remembered(app: Flask) -> None:
    """Intent: nobody fills the memory with what is no credential."""
    for number in range(5):
        assert identity._read(app, f"t{number}", lambda _: (None, {})) is None
    assert app.extensions[identity._READ] == {}


def test_tokens_are_remembered_by_what_they_are_for(app: Flask) -> None:
    """Intent: a guest's token in the place of an access token is not taken for one that was seen."""

    def of_guest(_: str) -> tuple[Caller | None, dict[str, Any]]:
        return Caller("guest", Identity(guest="{}")), {}

    def of_nobody(_: str) -> tuple[Caller | None, dict[str, Any]]:
        return None, {}

    assert identity._read(app, "t", of_guest) is not None
    assert identity._read(app, "t", of_nobody) is None


@pytest.mark.parametrize(
    ("path", "body", "hopeless"),
    [
        ("/", b'{"force":true}', True), ("/", b'{"force": true}', True), ("/", b'{"force":false}', False),
        ("/", b'{"result_format":"csv"}', True), ("/", b'{"result_format": "xlsx"}', True),
        ("/", b'{"result_format":"json","result_type":"full"}', False), ("/", b'{"result_type":"samples"}', True),
        ("/?force=true", b"{}", True), ("/?force=false", b"{}", False), ("/?csv=true", b"{}", True),
    ],
)  # fmt: skip
def test_what_is_surely_refused_asks_nothing(app: Flask, path: str, body: bytes, hopeless: bool) -> None:
    """Intent: its bytes say so; others are asked for."""
    with app.test_request_context(path, method="POST", data=body, content_type="application/json"):
        assert refusals.is_hopeless() is hopeless


@pytest.mark.parametrize(("server", "after"), [("gunicorn/23.0.0", True), ("Werkzeug/3", False), (None, False)])
def test_work_is_done_behind_the_answer_where_the_server_says_when_that_is(
    app: Flask, server: str | None, after: bool
) -> None:
    """Intent: nobody waits for counts; under a server that may never close an answer, none is lost."""
    done: list[str] = []
    environ = {} if server is None else {"SERVER_SOFTWARE": server}
    with app.test_request_context(environ_overrides=environ):
        response = Response(b"{}")
        behind(response, lambda: done.append("done"))
        assert done == ([] if after else ["done"])
    response.close()
    assert done == ["done"]


def test_work_behind_an_answer_fails_alone(app: Flask) -> None:
    """Intent: it is counted as a failure, and neither the answer nor the server sees it."""
    before = sum(failures.values())

    def work() -> None:
        raise ValueError("no")

    for server in ("gunicorn/1", "other"):
        with app.test_request_context(environ_overrides={"SERVER_SOFTWARE": server}):
            response = Response(b"{}")
            behind(response, work)
        response.close()
    assert sum(failures.values()) == before + 2
