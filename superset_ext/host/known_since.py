"""Since when the query under way knows what it is made of: its dataset, its database, its rules.

Superset reads them first, and asks the cache afterwards. An edit that is told between both is among the marks that the
cache has given by then, and not in the query: the answer would be taken for fresh. Superset's key has when the dataset
was changed. But MySQL keeps whole seconds of that, so that two edits within a second have one key; where its
transactions see only what was there when they began, whatever else is read in a request is as old; and edits of a
database are in no key. So an answer counts as of the begin of the transaction that its query was made in.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from superset_ext.cache.query import Query
from superset_ext.core.signals import count_failure

_BEGAN = "_superset_ext_began"  # on a transaction of SQLAlchemy's session


def watch() -> None:
    """Note from now on when transactions of sessions begin, once a process."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    if not event.contains(Session, "after_begin", _begins):
        event.listen(Session, "after_begin", _begins)


def _begins(session: Any, _transaction: Any, _connection: Any) -> None:
    root = session.get_transaction()  # of a savepoint, what it is in
    if root is not None:
        root.__dict__.setdefault(_BEGAN, time.perf_counter())


def date_back(query: Query) -> None:
    """Have the answer of a query that begins count as of when its datasource was read."""
    query.known_since = partial(_began, query.source)
    if (began := _began(query.source)) is not None:
        query.started = min(query.started, began)


def _began(thing: Any) -> float | None:
    """When the transaction began that an object of Superset's was read in; `None` where it is in none."""
    from sqlalchemy.orm import object_session

    try:
        session = None if thing is None else object_session(thing)
        root = None if session is None else session.get_transaction()
        return None if root is None else root.__dict__.get(_BEGAN)
    except Exception as error:  # noqa: BLE001  (somebody waits for the rows)
        count_failure("looking since when a query is known", error)
        return None
