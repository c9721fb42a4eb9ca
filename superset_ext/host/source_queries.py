"""A statement of a chart on its way to the source: by which text it goes, what was sent, and what that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from superset_ext.cache.query import Query, current
from superset_ext.cache.sent import Sent, note, sending
from superset_ext.core.signals import count_failure, tell
from superset_ext.core.warn_once import warn
from superset_ext.events import Queried, queried
from superset_ext.host import substitutes
from superset_ext.host.replicas import POSTGRESQL, seen_until_us
from superset_ext.host.scope import own_scope
from superset_ext.host.sql import parsed


def of_database(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df(self: Any, sql: str, catalog: str | None = None, schema: str | None = None, mutator: Any = None) -> Any:
        # Asked beforehand: afterwards its session may have ended, and an attribute would be a query of its own.
        database = self.id, self.sqlalchemy_uri
        started = time.perf_counter()
        sent = None
        try:
            with _noted(self, catalog, schema, sql) as sent:
                if substitutes.substitutes and sent is not None:
                    rows = _substituted(stock, self, sql, mutator, sent)
                else:
                    rows = stock(self, sql, catalog, schema, mutator)
        except BaseException as error:
            _report(database, sql, started, None, type(error).__name__, sent)
            raise
        _report(database, sql, started, rows, None, sent)
        return rows

    return get_df


def _substituted(stock: Callable[..., Any], database: Any, sql: str, mutator: Any, sent: Sent) -> Any:
    """The rows of a chart's statement, by another text where there is one (see `host.substitutes`)."""

    def ask(text: str) -> Any:
        return stock(database, text, sent.catalog, sent.schema, mutator)

    query = current()
    if query is None or query.scope.own:
        return ask(sql)
    try:
        posed = _posed(database, sql, sent, query)
    except Exception as error:  # noqa: BLE001  (an attribute may be a query of its own; somebody waits for the rows)
        count_failure("asking for another text of a statement", error)
        return ask(sql)
    return substitutes.answer(ask, posed, query, sent)


def _posed(database: Any, sql: str, sent: Sent, query: Query) -> substitutes.Posed:
    engine = str(database.sqlalchemy_uri or "").partition(":")[0]
    return substitutes.Posed(
        sql, database, database.id, str(database.database_name), engine, sent.catalog, sent.schema,
        query.scope.dataset_id, getattr(query.source, "name", None), query.scope.user_id,
    )  # fmt: skip


def _report(
    database: tuple[Any, Any], sql: str, started: float, rows: Any, error: str | None, sent: Sent | None
) -> None:
    """Say that a query has ended; a failure to say so never reaches the asker."""
    try:
        took, query = (time.perf_counter() - started) * 1000, current()
        scope = query.scope if query else own_scope()
        if scope.own:
            return
        engine = (database[1] or "").partition(":")[0].partition("+")[0]
        count = None if rows is None else len(rows)
        event = Queried("chart", database[0], engine, sql, took, time.monotonic(), scope, count, error)
        if sent is not None and sent.known:
            event.sent, event.schema, event.catalog = tuple(sent.statements), sent.schema, sent.catalog
        tell(queried, "chart", event)
    except Exception as problem:  # noqa: BLE001
        warn("queried", "a query is missing in query_performance_log (%s)", type(problem).__name__)


@contextmanager
def _noted(database: Any, catalog: str | None, schema: str | None, sql: str) -> Iterator[Sent | None]:
    """Keep with the chart query under way what is sent within this; `None` where there is none."""
    query = current()
    if query is None:
        yield None
        return
    sent = Sent(database, schema, catalog)
    with sending(sent):
        yield sent
    sent.known = _is_whole(sent, sql)
    if sent.statements or not sent.known:
        query.sent.append(sent)


def _is_whole(sent: Sent, sql: str) -> bool:
    """Whether all statements were noted. Somebody's own engine spec may send them past Superset's `execute`."""
    try:
        spec = sent.database.db_engine_spec
        if str(getattr(spec.execute, "__module__", "")).startswith("superset."):
            return True
        script = parsed(sql, spec.engine)
        return script is not None and len(script.statements) <= len(sent.statements)
    except Exception as error:  # noqa: BLE001  (an engine spec or a parser; somebody waits for the rows)
        count_failure("looking whether all SQL was noted", error)
        return False


def of_spec(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def execute(cls: Any, cursor: Any, query: str, database: Any, **kwargs: Any) -> Any:
        sent = note(query)
        if sent is not None and sent.before is not None:
            before, sent.before = sent.before, None
            before(cursor)
        if sent is not None and cls.engine == POSTGRESQL and len(sent.statements) == 1:
            sent.seen_until_us = seen_until_us(cursor)
        return stock(cls, cursor, query, database, **kwargs)

    return execute


def of_static_spec(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def execute(cursor: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        note(query)
        return stock(cursor, query, *args, **kwargs)

    return execute
