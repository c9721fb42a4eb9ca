"""A lower room tells upper ones; what they do with it can neither answer nor fail. Nor can a hook in Superset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, create_engine, event
from sqlalchemy.orm import Session, declarative_base

from superset_ext import events
from superset_ext.core.signals import failures, harmless, tell
from superset_ext.core.until_commit import UntilCommit
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, Freshness
from superset_ext.freshness.listeners import orm, sqllab
from superset_ext.freshness.listeners.tell import Tell, telling

EVERYTHING = Change("cli", "data_update", everything=True)


class Stamps:
    """A Redis that takes every stamp."""

    def stamp(self, tags: Any) -> float:
        return 12.0


def broken(*_args: Any, **_options: Any) -> Any:
    raise StoreUnavailable("Redis does not answer")


@pytest.fixture
def received() -> Iterator[list[Any]]:
    """The changes that a second receiver gets, after one that always fails."""
    events_received: list[Any] = []

    def receive(sender: Any, event: Any) -> None:
        events_received.append(event)

    with events.changed.connected_to(broken), events.changed.connected_to(receive):
        yield events_received


@pytest.fixture
def changes() -> list[Change]:
    """What hooks in Superset have told."""
    return []


@pytest.fixture
def hook(changes: list[Change]) -> Tell:
    return changes.append


def test_a_block_that_fails_stops_nobody() -> None:
    """Intent: a hook in Superset is such a block; what it raises is counted under its name, and ends there."""
    with harmless("a hook"):
        broken()
    assert failures["a hook"] == 1


def test_a_receiver_that_fails_stops_nobody(received: list[Any]) -> None:
    """Intent: the sender goes on, the other receivers are told, and the failure is counted."""
    before = sum(failures.values())
    tell(events.changed, "cli", "what changed")
    assert received == ["what changed"]
    assert sum(failures.values()) == before + 1


@pytest.mark.parametrize("note", [None, broken], ids=["the log takes it", "the log fails"])
def test_a_change_that_is_stamped_has_succeeded(received: list[Any], note: Any) -> None:
    """Intent: neither rewarming that cannot reach Redis nor the log makes `changed` fail after it has stamped."""
    freshness = Freshness(Stamps, lambda _database, tables: tables, note)
    stamped = freshness.changed(EVERYTHING)
    assert stamped.stamped_at == 12.0
    assert received == [stamped]


def test_a_change_that_is_not_stamped_has_failed(received: list[Any]) -> None:
    """Intent: whoever says what changed hears that old answers may still be served, and nobody else is told."""
    stamps = SimpleNamespace(stamp=broken)
    with pytest.raises(StoreUnavailable):
        Freshness(lambda: stamps, lambda _database, tables: tables, None).changed(EVERYTHING)
    assert received == []


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a mistake of ours")])
def test_no_change_made_in_superset_fails_for_our_sake(error: Exception) -> None:
    """Intent: an edit is committed already when its change is told; with neither Redis nor outbox it goes on."""

    def fail() -> Any:
        raise error

    telling(Freshness(fail, lambda _database, tables: tables, None), None)(EVERYTHING)


Base = declarative_base()


class Thing(Base):
    """Something that a person saves."""

    __tablename__ = "things"
    id = Column(Integer, primary_key=True)
    name = Column(String)


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of nobody else, with one thing in it."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as made:
        made.add(Thing(id=1, name="before"))
        made.commit()
        yield made


def _edited(session: Session) -> None:
    session.get(Thing, 1).name = "after"  # type: ignore[union-attr]
    session.commit()


def _many(session: Session) -> None:
    session.query(Thing).filter_by(id=1).update({"name": "after"})
    session.commit()


def _in_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.get(Thing, 1).name = "after"  # type: ignore[union-attr]
    session.commit()


@pytest.mark.parametrize("save", [_edited, _many, _in_a_savepoint])
def test_an_edit_that_cannot_be_worked_out_changes_everything(
    monkeypatch: pytest.MonkeyPatch, hook: Tell, changes: list[Change], session: Session, save: Any
) -> None:
    """Intent: a hook that fails costs no person their edit, and leaves nothing old behind."""
    monkeypatch.setattr(orm, "_kinds", broken)
    with listening(lambda: orm.install(hook)):
        save(session)
    assert [change.everything for change in changes] == [True]
    assert session.query(Thing.name).all() == [("after",)]


def test_a_query_that_cannot_be_worked_out_changes_everything(
    monkeypatch: pytest.MonkeyPatch, hook: Tell, changes: list[Change], session: Session
) -> None:
    """Intent: the same for a query of SQL Lab, whose result the person is waiting for."""
    monkeypatch.setattr(sqllab, "_changes", broken)
    with listening(lambda: sqllab.install(hook)):
        _edited(session)
    assert [change.everything for change in changes] == [True]
    assert session.query(Thing.name).all() == [("after",)]


@pytest.mark.parametrize("name", ["add", "_committed", "_rolled_back"])
@pytest.mark.parametrize("install", [orm.install, sqllab.install], ids=["edits", "SQL Lab"])
@pytest.mark.parametrize("save", [_edited, _many, _in_a_savepoint])
def test_whatever_of_a_hook_fails_the_edit_does_not(
    monkeypatch: pytest.MonkeyPatch, session: Session, install: Any, name: str, save: Any
) -> None:
    """Intent: wherever in a hook something is raised, the commit stands, and the session can go on."""
    kinds = {Thing: "datasets"}
    monkeypatch.setattr(orm, "_kinds", lambda: kinds)
    monkeypatch.setattr(sqllab, "_changes", lambda _thing: [EVERYTHING])
    monkeypatch.setattr(UntilCommit, name if name == "add" else "_kept", broken)
    with listening(lambda: install(broken)):
        save(session)
        session.get(Thing, 1).name = "no"  # type: ignore[union-attr]
        session.flush()
        session.rollback()
        assert session.query(Thing.name).all() == [("after",)]


@contextmanager
def listening(install: Any) -> Iterator[None]:
    """What a hook listens to within the block, and no longer."""
    heard: list[tuple[Any, str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        listen = event.listen
        patch.setattr(event, "listen", lambda *of: heard.append(of) or listen(*of))
        install()
        try:
            yield
        finally:
            for of in heard:
                event.remove(*of)
