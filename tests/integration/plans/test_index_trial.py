"""Trials of indexes on a real source: what helps is kept, what does not and what harms is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.plans.indexes.building import Failed, Named, build, drop, named, ours, refusal
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.live import Live
from superset_ext.plans.indexes.measuring import Measure
from superset_ext.plans.indexes.trying import Trial, Verdict
from testing.databases import Databases

THINGS = TableName("public", "things")
# A kind stands only where the place is high, which the planner does not know: in the order of places it is found last.
TABLES = """
CREATE SEQUENCE counted;
CREATE TABLE things (id int, kind int, place int, filler text) WITH (autovacuum_enabled = off);
INSERT INTO things SELECT n, CASE WHEN place > 99900 THEN 1 ELSE 0 END, place, repeat('x', 40)
FROM (SELECT n, abs(hashint4(n)) % 100000 AS place FROM generate_series(1, 100000) AS n) AS made;
"""
TRAP = Live("trap", "SELECT id FROM things WHERE kind = 1 ORDER BY place LIMIT 1")
BY_ID = Live("by id", "SELECT filler FROM things WHERE id = 4711", 10)
BY_PLACE = Live("by place", "SELECT filler FROM things WHERE place = 4711")
OWNER, GUEST = "trial_owner", "trial_guest"


def index(*keys: str) -> Named:
    return named(Index(THINGS, tuple(Key(key) for key in keys)))


@pytest.fixture
def source(databases: Databases) -> Iterator[str]:
    """A source with a table of a hundred thousand rows, analysed."""
    with databases.empty() as url:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(TABLES)
            cursor.execute("VACUUM (ANALYZE) things")
        yield url


@pytest.fixture(params=["superuser", "owner"])
def connection(source: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A connection that may build: one that can hide indexes, and one that cannot."""
    with closing(psycopg2.connect(source)) as made:
        if request.param == "owner":
            with made.cursor() as cursor:
                cursor.execute(f"DROP ROLE IF EXISTS {OWNER}; CREATE ROLE {OWNER}; ALTER TABLE things OWNER TO {OWNER}")
                cursor.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER}")
            made.commit()
            with made.cursor() as cursor:
                cursor.execute(f"SET SESSION AUTHORIZATION {OWNER}")
            made.commit()
        yield made
        made.rollback()
        with made.cursor() as cursor:
            cursor.execute("RESET SESSION AUTHORIZATION")
            if request.param == "owner":
                cursor.execute(f"DROP OWNED BY {OWNER}; DROP ROLE {OWNER}")
        made.commit()


def indexes(url: str) -> dict[str, bool]:
    """The indexes of the table, and whether they are valid."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'things'::regclass"
        )
        return {str(name): bool(valid) for name, valid in cursor.fetchall()}


def verdicts(connection: Any, items: Sequence[Named], *lives: Live) -> tuple[list[Verdict], Trial]:
    measure = Measure(connection, 3, 60.0)
    reach = {item: [live.fingerprint for live in lives] for item in items}
    trial = Trial(connection, measure, lives, reach, "by a test")
    return [step for step in trial.steps(items) if isinstance(step, Verdict)], trial


def test_what_helps_is_kept_and_what_does_not_is_gone(source: str, connection: Any) -> None:
    """Intent: an index that brings something stands, valid and marked as ours; one that no plan uses does not."""
    helps, useless = index("id"), index("kind", "filler")
    results, _ = verdicts(connection, [helps, useless], BY_ID)
    assert [(one.item, one.kept) for one in results[:2]] == [(helps, True), (useless, False)]
    assert results[0].saved > 0 and results[0].changed[0].quicker
    assert indexes(source) == {helps.name: True}
    assert [(item.name, item.marked) for item in ours(connection)] == [(helps.name, True)]


def test_what_makes_another_statement_slower_is_left_out(source: str, connection: Any) -> None:
    """Intent: the planner takes an index that costs one statement several times what it took; though another one gains,
    it does not stay, and the statement is named."""
    harmful = index("place")
    (verdict, *_), _ = verdicts(connection, [harmful], BY_PLACE, TRAP)
    by_name = {one.live.fingerprint: one for one in verdict.changed}
    assert by_name["trap"].slower and by_name["by place"].quicker
    assert not verdict.kept and verdict.reason.startswith("it makes slower: trap (")
    assert indexes(source) == {}


def test_of_two_that_serve_the_same_one_goes(source: str) -> None:
    """Intent: where it can be told, the set keeps no index that no plan would miss."""
    alone, both = index("id"), named(Index(THINGS, (Key("id"),), ("filler",)))
    covered = Live("covered", "SELECT filler FROM things WHERE id < 3000")
    with closing(psycopg2.connect(source)) as connection:
        assert [build(connection, item, "by a test") for item in (alone, both)] == [None, None]
        trial = Trial(connection, Measure(connection, 2, 60.0), [covered], {}, "by a test", kept=[alone, both])
        (verdict,) = trial._needless()
    assert (verdict.item, verdict.kept, trial.kept) == (both, False, [alone]), "the smaller one serves the statement"
    assert indexes(source) == {alone.name: True}


def test_what_may_do_more_than_return_a_value_is_not_run(source: str, connection: Any) -> None:
    """Intent: a trial changes nothing on the source but its indexes, whatever the statements are."""
    with closing(psycopg2.connect(source)) as other, other.cursor() as cursor:
        cursor.execute("GRANT ALL ON SEQUENCE counted TO public")
        other.commit()
    volatile = Live("volatile", "SELECT nextval('counted') FROM things WHERE id = 3")
    writing = Live("writing", "DELETE FROM things WHERE id = 3 RETURNING id")
    (verdict, *_), trial = verdicts(connection, [index("id")], volatile, writing, BY_ID)
    assert verdict.kept and [one.live.fingerprint for one in verdict.changed] == ["by id"]
    assert any("nextval" in note for note in trial.notes)
    with closing(psycopg2.connect(source)) as other, other.cursor() as cursor:
        cursor.execute("SELECT is_called, (SELECT count(*) FROM things) FROM counted")
        assert cursor.fetchone() == (False, 100_000)


def test_a_trial_that_is_broken_off_leaves_nothing_undecided(source: str, connection: Any) -> None:
    """Intent: what was decided stays; an index that is being measured when somebody gives up is dropped."""
    kept, undecided = index("id"), index("place")
    measure = Measure(connection, 2, 60.0)
    trial = Trial(connection, measure, [BY_ID, BY_PLACE], {one: ["by id", "by place"] for one in (kept, undecided)}, "")
    steps = trial.steps([kept, undecided])
    while not (isinstance(step := next(steps), Verdict) and step.item == kept):
        pass
    measure.compared = _given_up  # type: ignore[method-assign, assignment]
    measure.again = _given_up  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        list(steps)
    connection.rollback()
    assert indexes(source) == {kept.name: True}


def _given_up(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_a_build_that_fails_leaves_nothing(source: str, connection: Any) -> None:
    """Intent: a failed CREATE INDEX CONCURRENTLY leaves an invalid index, which is dropped at once, with the reason."""
    broken = named(Index(THINGS, (Key("(1 / kind)", ("kind",)),)))
    failed = build(connection, broken, "by a test")
    assert failed == Failed("it could not be built: division by zero")
    assert indexes(source) == {}


def test_a_build_waits_for_nobody_for_long(source: str, connection: Any) -> None:
    """Intent: a transaction that writes holds a build up no longer than is allowed; what is left is said, and goes once
    the transaction has ended."""
    item = index("id")
    with closing(psycopg2.connect(source)) as writer, writer.cursor() as cursor:
        cursor.execute("UPDATE things SET filler = 'y' WHERE id = 1")
        failed = build(connection, item, "by a test", 0.1)
        assert failed is not None and "lock timeout" in failed.reason
        assert failed.left is (item.name in indexes(source))
        writer.rollback()
    assert drop(connection, item.drop) is None
    assert indexes(source) == {}


def test_only_what_is_ours_is_listed(source: str, connection: Any) -> None:
    """Intent: neither a person's indexes, nor one with another comment, nor a unique one is ever taken for ours."""
    with closing(psycopg2.connect(source)) as person, person.cursor() as cursor:
        cursor.execute("CREATE INDEX theirs ON things (id); CREATE UNIQUE INDEX key ON things (id)")
        cursor.execute(
            "CREATE INDEX noted ON things (id, kind); COMMENT ON INDEX noted IS 'a superset_ext index advice'"
        )
        cursor.execute("COMMENT ON INDEX key IS 'superset_ext index advice: copied'")
        person.commit()
    item = index("place")
    assert build(connection, item, "by a test") is None
    assert [one.name for one in ours(connection)] == [item.name]


def test_who_does_not_own_a_table_is_refused(source: str) -> None:
    """Intent: a role that may only read gets a line that says whom to ask, and nothing is tried."""
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {GUEST}; GRANT SELECT ON things TO {GUEST}; SET SESSION AUTHORIZATION {GUEST}")
        connection.commit()
        try:
            reason = refusal(connection, index("id"))
            assert reason is not None and reason.startswith(f"the role {GUEST} does not own the table; let ")
            (verdict,), _ = verdicts(connection, [index("id")], BY_ID)
            assert (verdict.kept, verdict.reason) == (False, reason)
        finally:
            connection.rollback()
            cursor.execute(f"RESET SESSION AUTHORIZATION; DROP OWNED BY {GUEST}; DROP ROLE {GUEST}")
            connection.commit()
    assert indexes(source) == {}
