"""The SQL that a chart query has really sent to its source.

What Superset puts into a value is the SQL before `SQL_QUERY_MUTATOR` and the engine spec have seen it. The seams note
here what reached the driver, statement by statement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from flask import g, has_app_context

_numbers = count(1)
_LOOSE = "superset_ext_sent"  # in Flask's `g`: when SQL was sent, and whether something was stored since


@dataclass(slots=True)
class Sent:
    """What one call of `Database.get_df` has sent. It names a place as a datasource does.

    Attributes:
        database: Superset's database.
        schema, catalog: where names without them are looked up, `None` for the database's own.
        statements: as they reached the driver, in order.
        known: whether those are all.
        seen_until_us: of a replica, up to when its rows have what was committed, in microseconds since 1970, 0 where it
            does not say; `None` where the rows are as of now.
        before: called once with the DBAPI cursor of the next statement, before that is sent, and `None` from then on.
        stands_for: a statement that names all that the rows depend on, where those that were sent do not.
        number: its own in this process.
    """

    database: Any
    schema: str | None
    catalog: str | None
    statements: list[str] = field(default_factory=list)
    known: bool = True
    seen_until_us: int | None = None
    before: Callable[[Any], None] | None = None
    stands_for: str = ""
    number: int = field(default_factory=_numbers.__next__)

    @property
    def sql(self) -> str:
        """What they read, as one text; a comment at the end of a statement does not reach into the next."""
        return self.stands_for or "\n;\n".join(self.statements)


under_way: ContextVar[Sent | None] = ContextVar("superset_ext_sending", default=None)


@contextmanager
def sending(sent: Sent) -> Iterator[None]:
    """Within this, statements that are noted belong to `sent`."""
    token = under_way.set(sent)
    try:
        yield
    finally:
        under_way.reset(token)


def note(statement: str) -> Sent | None:
    """Note a statement that is about to reach a driver; what it belongs to, if that is a chart query."""
    sent = under_way.get()
    if sent is not None:
        sent.statements.append(statement)
    elif has_app_context():
        began, used = g.get(_LOOSE, (0.0, True))
        setattr(g, _LOOSE, (time.perf_counter() if used else began, False))
    return sent


def began() -> float | None:
    """When the SQL was sent, outside of chart queries, whose rows this app context is about to store.

    `time.perf_counter()` in seconds, `None` where none was sent. SQL that is sent after this begins anew.
    """
    when: float | None = g.get(_LOOSE, (None, True))[0] if has_app_context() else None
    if when is not None:
        setattr(g, _LOOSE, (when, True))
    return when
