"""As of when an answer counts: of the transaction that its query was made in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, create_engine, event
from sqlalchemy.orm import Session, declarative_base

from superset_ext.cache.query import Query, Read, remember, running
from superset_ext.cache.store import ServerClock
from superset_ext.events import Scope
from superset_ext.host import known_since

Base = declarative_base()
KEY = ("chart_data", "key")
NOW_US = 1_800_000_000_000_000


class Thing(Base):  # type: ignore[misc, valid-type]
    """An object of Superset's."""

    __tablename__ = "thing"
    id = Column(Integer, primary_key=True)


@pytest.fixture
def session() -> Iterator[Session]:
    """A session whose database has one thing, while transactions are watched."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    known_since.watch()
    try:
        with Session(engine) as session:
            session.add(Thing(id=1))
            session.commit()
            yield session
    finally:
        event.remove(Session, "after_begin", known_since._begins)


def asked(source: Any, last_stamp: int) -> tuple[Query, Read]:
    """A query of this datasource, and what its get of the cache left behind, which knew this mark."""
    with running(Scope(), source) as query:
        known_since.date_back(query)
        remember(*KEY, Read(NOW_US, time.perf_counter(), "run", last_stamp), ServerClock())
    return query, query.reads[KEY]


def test_marks_from_after_the_transaction_began_are_not_known(session: Session) -> None:
    """Intent: what was told between the read of a dataset and that of the cache makes the answer old."""
    before = time.perf_counter()
    thing = session.get(Thing, 1)
    query, read = asked(thing, NOW_US)
    passed_us = (time.perf_counter() - before) * 1e6
    assert NOW_US - passed_us <= read.last_stamp < NOW_US
    assert read.as_of_us == NOW_US, "it is no older than others that were read then"
    assert before <= query.started < read.started


def test_a_savepoint_is_no_begin(session: Session) -> None:
    """Intent: what was read before a savepoint is as old as its transaction."""
    thing = session.get(Thing, 1)
    session.begin_nested()
    session.query(Thing).count()
    inner = time.perf_counter()
    assert asked(thing, NOW_US)[0].started < inner


def test_a_commit_begins_anew(session: Session) -> None:
    """Intent: SQLAlchemy reads what it knows again after a commit, so that nothing of it is older."""
    thing = session.get(Thing, 1)
    session.commit()
    committed = time.perf_counter()
    assert thing.id == 1
    assert asked(thing, NOW_US)[0].started > committed


def test_older_marks_stay_known(session: Session) -> None:
    """Intent: a change from before the transaction costs nobody an answer."""
    assert asked(session.get(Thing, 1), NOW_US - 60_000_000)[1].last_stamp == NOW_US - 60_000_000


def test_a_clock_that_was_put_back_decides_nothing(session: Session) -> None:
    """Intent: marks go on from the last one when a clock is put back; answers are kept all the same."""
    assert asked(session.get(Thing, 1), NOW_US + 1)[1].last_stamp == NOW_US + 1


@pytest.mark.parametrize("source", [None, Thing(id=2), object()])
def test_what_is_in_no_session_dates_nothing_back(session: Session, source: Any) -> None:
    """Intent: a query of a script, whose objects belong to nobody, is answered and kept as before."""
    assert asked(source, NOW_US)[1].last_stamp == NOW_US
