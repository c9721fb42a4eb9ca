"""The SQL that a chart query has really sent to its source.

What Superset puts into a value is the SQL before `SQL_QUERY_MUTATOR` and the engine spec have seen it. The seams note
here what reached the driver, statement by statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Sent:
    """What one call of `Database.get_df` has sent. It names a place as a datasource does.

    Attributes:
        database: Superset's database.
        schema, catalog: where names without them are looked up, `None` for the database's own.
        statements: as they reached the driver, in order.
        known: whether those are all.
    """

    database: Any
    schema: str | None
    catalog: str | None
    statements: list[str] = field(default_factory=list)
    known: bool = True

    @property
    def sql(self) -> str:
        """The statements as one text; a comment at the end of one does not reach into the next."""
        return "\n;\n".join(self.statements)


_sending: ContextVar[Sent | None] = ContextVar("superset_ext_sending", default=None)


@contextmanager
def sending(sent: Sent) -> Iterator[None]:
    """Within this, statements that are noted belong to `sent`."""
    token = _sending.set(sent)
    try:
        yield
    finally:
        _sending.reset(token)


def note(statement: str) -> None:
    """Note a statement that is about to reach a driver."""
    sent = _sending.get()
    if sent is not None:
        sent.statements.append(statement)
