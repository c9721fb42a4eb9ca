"""What a granted answer costs, and what is spared: each saving, and that nothing is spared that must be asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response

from superset_ext.core.signals import failures
from superset_ext.errors import StoreUnavailable
from superset_ext.grants import identity, judge, refusals
from superset_ext.grants.connections import Connections
from superset_ext.grants.identity import Caller
from superset_ext.grants.judge import Grant, Judge
from superset_ext.host.behind import behind
from superset_ext.host.people import Identity
from testing.warming import until

OLD, NEW = ("old", "anchor"), ("new", "anchor")
WHO = Caller("jwt", Identity(7))


class Rights:
    """Says which mark holds, and counts what it is asked."""

    def __init__(self, *, is_apart: bool = True) -> None:
        self.is_apart = is_apart
        self.current = OLD
        self.asked: list[str] = []

    def ready(self) -> bool:
        return True

    def now(self) -> tuple[str, str]:
        self.asked.append("now")
        return self.current

    def holds(self, mark: tuple[str, str], dashboards: Sequence[int] | None = None) -> bool:
        self.asked.append(f"holds {mark[0]}" + ("" if dashboards is None else f" of {list(dashboards)}"))
        return mark == self.current


class Region:
    """Keeps one grant."""

    def __init__(self) -> None:
        self.mark: tuple[str, str] | None = OLD
        self.dashboards: tuple[int, ...] | None = None
        self.is_away = False

    def grant(self, _key: str, meanwhile: Callable[[], object] | None, read: Callable[[Any], Any]) -> Any:
        if self.is_away:
            raise StoreUnavailable("away")
        if meanwhile is not None:
            meanwhile()
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
    """Intent: the check that is made while Redis works is the one that counts; it is made anew for each answer."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert [given(judge) for _ in range(3)] == [True] * 3
    assert rights.asked == ["holds old"] * 3


def test_a_change_ends_a_grant_that_was_just_given(rights: Rights, region: Region) -> None:
    """Intent: what was known of the mark a moment ago is not taken for an answer."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert given(judge)
    rights.current = NEW
    assert not given(judge)


def test_another_mark_than_the_expected_one_is_asked_for(rights: Rights, region: Region) -> None:
    """Intent: another process has stored the grant anew; the early check concerned the mark before it."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert given(judge)
    region.mark = NEW
    assert not given(judge)  # the early one held, this one does not
    rights.current = NEW
    assert given(judge)


def test_an_early_check_of_other_dashboards_is_not_taken(rights: Rights, region: Region) -> None:
    """Intent: another process has stored the grant anew, which has read another dashboard than the one before."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    region.dashboards = (7,)
    assert given(judge)
    region.dashboards = None
    assert given(judge)
    assert rights.asked == ["holds old of [7]", "holds old of [7]", "holds old"]


def test_what_asks_redis_itself_is_not_asked_meanwhile(region: Region) -> None:
    """Intent: it would wait for a second connection of a pool whose others wait likewise."""
    rights = Rights(is_apart=False)
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    seen: list[Any] = []
    grant = region.grant
    region.grant = lambda key, meanwhile, read: (seen.append(meanwhile), grant(key, None, read))[1]  # type: ignore[method-assign]
    assert given(judge)
    assert given(judge)
    assert seen == [None, None]


def test_a_metadata_database_that_stalls_leaves_redis_its_connections(region: Region) -> None:
    """Intent: each early check holds a connection to Redis; a few at a time wait so, and all others without one."""
    number, going_on, asking, holding = 12, threading.Event(), [], []
    rights, grant, answers = Rights(), region.grant, list[bool]()
    made = Judge(region, rights, 300)  # type: ignore[arg-type]

    def stalled(mark: tuple[str, str], _dashboards: Sequence[int] | None = None) -> bool:
        asking.append(mark)
        going_on.wait()
        return True

    def held(key: str, meanwhile: Callable[[], object] | None, read: Callable[[Any], Any]) -> Any:
        holding.append(key)
        try:
            return grant(key, meanwhile, read)
        finally:
            holding.remove(key)

    keys = [f"key {place}" for place in range(number)]
    assert all(made.granted(key) for key in keys)
    rights.holds, region.grant = stalled, held  # type: ignore[method-assign]
    threads = [threading.Thread(target=lambda key=key: answers.append(made.granted(key) is not None)) for key in keys]
    for thread in threads:
        thread.start()
    until(lambda: len(asking) == number, 120)
    assert len(holding) == judge.EARLY
    going_on.set()
    for thread in threads:
        thread.join()
    assert answers == [True] * number


def test_redis_away_is_told(rights: Rights, region: Region) -> None:
    """Intent: the early check changes nothing about a Redis that does not answer."""
    judge = Judge(region, rights, 300)  # type: ignore[arg-type]
    assert given(judge)
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


class Raw:
    """A connection of psycopg2, as far as a pool knows it."""

    autocommit = False
    closed = 0

    def cursor(self) -> object:
        return object()

    def fileno(self) -> int:
        return 1

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def made() -> list[Raw]:
    """The connections that were made."""
    return []


@pytest.fixture
def pool(made: list[Raw]) -> Iterator[Connections]:
    """A pool of one."""

    def connect() -> Raw:
        made.append(Raw())
        return made[-1]

    pool = Connections(connect, 1, 0.01, 300)
    yield pool
    pool.dispose()
    assert all(raw.closed for raw in made)


def test_a_connection_is_used_again_until_it_fails(pool: Connections, made: list[Raw]) -> None:
    """Intent: one that failed may have an answer on its way, which the next one would take for its own."""
    for _ in range(3):
        with pool.lent() as lent:
            assert lent.raw.autocommit
    assert len(made) == 1
    with pytest.raises(ValueError), pool.lent():
        raise ValueError
    assert made[0].closed
    with pool.lent():
        pass
    assert len(made) == 2


def test_who_finds_all_connections_in_use_waits_for_a_moment(pool: Connections) -> None:
    """Intent: requests do not queue for the check; its place is free again afterwards."""
    with pool.lent(), pytest.raises(TimeoutError), pool.lent():
        pass
    with pool.lent():
        pass


def test_an_old_connection_is_not_used_again(made: list[Raw]) -> None:
    """Intent: what a proxy or a server closes by age is gone before somebody asks over it."""

    def connect() -> Raw:
        made.append(Raw())
        return made[-1]

    pool = Connections(connect, 1, 0.01, -1)
    for _ in range(2):
        with pool.lent():
            pass
    assert [raw.closed for raw in made] == [1, 0]
