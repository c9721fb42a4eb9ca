"""Superset's engine for rows of its `logs`, without Superset's question whether a connection lives.

Superset asks that (`SELECT 1`) at the begin of each use of a connection, since it could not tell somebody's request to
be made again. A batch of rows can be written again, where it is known that nothing of it is written: so a connection
that was closed while nobody used it is found by the batch itself.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from sqlalchemy.engine import Engine

from superset_ext.core.signals import count_failure

AUTOCOMMIT = "AUTOCOMMIT"
_PING = ("superset.utils.core", "ping_connection")


def unasked(engine: Engine) -> Engine:
    """An engine with the pool and the listeners of this one but for that question; this one where it has to stay.

    It has to where a lost connection does not mean that nothing was written: where statements commit themselves. It
    does too where SQLAlchemy keeps listeners in another way than it did in 1.4.
    """
    if type(engine) is not Engine or not _tells_of_loss(engine):
        return engine
    try:
        return _twin(engine)
    except Exception as error:  # noqa: BLE001  (of whatever is another one by then)
        count_failure("asking no more whether a connection lives", error)
        return engine


def _twin(engine: Engine) -> Engine:
    twin = copy(engine)
    vars(twin).pop("dispatch", None)  # it has listeners of its own
    twin.dispatch._update(engine.dispatch, only_propagate=False)
    listeners = twin.dispatch.engine_connect.listeners
    for ping in [listener for listener in listeners if _is_ping(listener)]:
        listeners.remove(ping)
    return twin


def _tells_of_loss(engine: Engine) -> bool:
    levels = (engine.dialect.isolation_level, engine.get_execution_options().get("isolation_level"))
    return (engine.dialect.name, engine.dialect.driver) == ("postgresql", "psycopg2") and AUTOCOMMIT not in levels


def _is_ping(listener: Any) -> bool:
    return (getattr(listener, "__module__", None), getattr(listener, "__name__", None)) == _PING


def is_in_transaction(connection: Any) -> bool:
    """Whether what a connection sends is written by its commit and not before, as far as the driver says."""
    return getattr(connection.connection, "autocommit", None) is False
