"""What may be sent to a source in the place of a chart's statement, with the same answer.

A **substitute** is asked before Superset sends a statement: it gives another text and says by which of its rules, or it
says why not. It is asked at `Database.get_df`, within what the query log measures. So a statement's fingerprint, the
cache key and what *View query* shows stay those of Superset's own statement; row-level rules are in that already, as
predicates, and `SQL_QUERY_MUTATOR` changes what a substitute gave as it would have changed the statement.

They are asked in order, and the first text is sent. Whatever goes wrong with it (a substitute that raises, a text that
the source refuses, rows that are not sure), Superset's own statement is sent once in its place, and the substitute is
told. So no chart fails because of one, and none waits for a third statement.

`substitutes` is empty unless something is switched on. Then nothing is made here, and nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from superset_ext.cache.query import Query
from superset_ext.cache.sent import Sent
from superset_ext.core.signals import attempt, count_failure

# Celery's, when a task's time is nearly over: there is none left for another statement.
_OUT_OF_TIME = "SoftTimeLimitExceeded"


@dataclass(frozen=True, slots=True)
class Posed:
    """A statement of a chart, about to be sent.

    Attributes:
        sql: Superset's own, with the row-level rules of who asks; before `SQL_QUERY_MUTATOR`.
        database: Superset's database; `impersonate_user` says whether it is asked as each user.
        database_id, database_name: of it.
        engine: SQLAlchemy's name of the source's engine and its driver, as in `postgresql+psycopg2`.
        catalog, schema: where names without them are looked up, `None` for the database's own.
        dataset_id, dataset: Superset's dataset, by id and by name; `None` where the chart has none.
        user_id: Superset's id of who asks; `None` of a guest or nobody.
    """

    sql: str
    database: Any
    database_id: int
    database_name: str
    engine: str
    catalog: str | None
    schema: str | None
    dataset_id: int | None
    dataset: str | None
    user_id: int | None


@dataclass(frozen=True, slots=True)
class Substitution:
    """Another text for a statement.

    Attributes:
        sql: what is sent.
        rules: by which of its rules the substitute gives it.
        before: called with the DBAPI cursor right before it is sent there, in the same transaction. It raises if what
            the text was made from does not hold any more. It returns up to when the rows surely have what was
            committed, in microseconds since 1970, by the clock of Redis, and what is stored is taken for no newer;
            `None` where they are as of now. `None` where there is nothing to look at.
        below: the rows are only sure if there are fewer than this; `None`: always.
        tags: what its answer depends on beside the tables that the text names.
        stands_for: whether its answer depends on what Superset's own statement reads, and its own text names nothing.
        note: the substitute's own; nobody else looks at it.
    """

    sql: str
    rules: tuple[str, ...]
    before: Callable[[Any], int | None] | None = None
    below: int | None = None
    tags: frozenset[str] = frozenset()
    stands_for: bool = False
    note: Any = field(default=None, compare=False)


class Substitute(Protocol):
    """Something that knows other texts for statements. It is asked by many threads at a time, while people wait."""

    def substitution(self, posed: Posed) -> Substitution | str:
        """Another text for a statement, or why there is none."""
        ...

    def answered(self, posed: Posed, substitution: Substitution) -> None:
        """Its text has answered a chart."""
        ...

    def failed(self, posed: Posed, substitution: Substitution, reason: str) -> None:
        """Its text did not answer, so that Superset's own statement was sent; `reason` has no value of a query."""
        ...


substitutes: tuple[Substitute, ...] = ()  # in the order in which they are asked

Ask = Callable[[str], Any]  # sends SQL as Superset does, and returns its rows


def answer(ask: Ask, posed: Posed, query: Query, sent: Sent) -> Any:
    """The rows of a statement: by the first substitute that has another text for it, or else by its own."""
    for substitute in substitutes:
        substitution = _given(substitute, posed)
        if substitution is not None:
            return _by(substitute, substitution, ask, posed, query, sent)
    return ask(posed.sql)


def _given(substitute: Substitute, posed: Posed) -> Substitution | None:
    try:
        given = substitute.substitution(posed)
    except Exception as error:  # noqa: BLE001  (somebody waits for the rows)
        count_failure(type(substitute).__name__, error)
        return None
    return given if isinstance(given, Substitution) else None


def _by(substitute: Substitute, substitution: Substitution, ask: Ask, posed: Posed, query: Query, sent: Sent) -> Any:
    as_of: list[int | None] = []
    before = substitution.before
    sent.before = None if before is None else lambda cursor: as_of.append(before(cursor))
    try:
        rows = ask(substitution.sql)
        reason = _unsure(substitution, rows, looked=before is None or bool(as_of))
    except Exception as error:  # of drivers, of the source, of `before`
        if type(error).__name__ == _OUT_OF_TIME:
            raise
        reason = type(error).__name__
    finally:
        sent.before = None
    if reason:
        attempt(substitute.failed, posed, substitution, reason)
        return ask(posed.sql)
    query.opened |= substitution.tags
    sent.stands_for = posed.sql if substitution.stands_for else ""
    sent.seen_until_us = min((us for us in (sent.seen_until_us, *as_of) if us is not None), default=None)
    attempt(substitute.answered, posed, substitution)
    return rows


def _unsure(substitution: Substitution, rows: Any, looked: bool) -> str:
    """Why rows are not the answer; empty, if they are."""
    if not looked:
        return "not looked at"  # an engine spec of somebody's own has sent it past `host.source_queries`
    if substitution.below is not None and len(rows) >= substitution.below:
        return "cut by its LIMIT"
    return ""
