"""What happens in SQLAlchemy's sessions, kept until it is committed for good.

SQLAlchemy 1.4 sends `after_commit` and `after_rollback` for savepoints too. What was done within a savepoint is
therefore handed to the transaction around it when the savepoint is released, and dropped when it is rolled back; what
was done before the savepoint stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import event

from superset_ext.core.signals import unfailing

Item = TypeVar("Item")


class UntilCommit(Generic[Item]):
    """Keeps items in the session that they happened in, whose end it hears from then on. Nothing here fails a session.

    Args:
        committed: called with the items of a transaction, in their order, after its outermost commit.
    """

    def __init__(self, committed: Callable[[list[Item]], None]) -> None:
        self._call = committed

    def add(self, session: Any, item: Item) -> None:
        """Keep something that happened in the transaction or savepoint that the session is in."""
        self._kept(session).append((_innermost(session), item))

    def _kept(self, session: Any) -> list[tuple[Any, Item]]:
        if self not in session.info:
            event.listen(session, "after_commit", self._committed)
            event.listen(session, "after_rollback", self._rolled_back)
            session.info[self] = []
        kept: list[tuple[Any, Item]] = session.info[self]
        return kept

    @unfailing("telling what a transaction has done")
    def _committed(self, session: Any) -> None:
        if not (kept := self._kept(session)):
            return
        ended = _innermost(session)
        if ended.nested:
            around = _around(ended)
            kept[:] = [(around if place is ended else place, item) for place, item in kept]
            return
        items = [item for place, item in kept if place is ended]
        kept.clear()
        if items:
            self._call(items)

    @unfailing("forgetting what was rolled back")
    def _rolled_back(self, session: Any) -> None:
        kept, ended = self._kept(session), _innermost(session)
        kept[:] = [(place, item) for place, item in kept if ended.nested and place is not ended]


def _innermost(session: Any) -> Any:
    """The savepoint that a session is in, or its transaction."""
    return session.get_nested_transaction() or session.get_transaction()


def _around(savepoint: Any) -> Any:
    """The savepoint or transaction around a savepoint; SQLAlchemy has transactions for its own use between them."""
    place = savepoint.parent
    while not place.nested and place.parent is not None:
        place = place.parent
    return place
