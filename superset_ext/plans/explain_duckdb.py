"""Asks a DuckDB source for the plan of a query, see `explain.py`.

DuckDB has no limits of its own for a statement: it is interrupted when its time is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Timer
from typing import Any

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import PlanError
from superset_ext.plans.duckdb import ENGINE, plan_from
from superset_ext.plans.explain import Explained
from superset_ext.plans.one_select import one_select
from superset_ext.plans.tables import Column, Index, Table
from superset_ext.plans.tree import Plan
from superset_ext.plans.words import Words

_CALL = re.compile(r"([^\W\d]\w*)\s*\(")
_DIGITS = re.compile(r"\d+")
Ask = Callable[..., list[Sequence[Any]]]


def explain_duckdb(connection: Any, sql: str, seconds: float, analyze: bool = False) -> Explained:
    """The plan of one SELECT, and what the source knows of its tables.

    Args:
        connection: of duckdb-engine or of DuckDB; no transaction is open on it.
        seconds: that it may take, together.
        analyze: run it, and say what that took.

    Raises:
        PlanError: it is not one SELECT that only reads, or the source did not explain it.
    """
    select = one_select(sql, ENGINE)
    with reading(connection, seconds) as cursor:
        ask = partial(_asked, cursor)
        text = ask(f"EXPLAIN (FORMAT JSON) {select}")[0][1]
        if analyze:
            _refuse_calls(ask, f"{text} {select}", "; it is explained without --analyze")
            text = ask(f"EXPLAIN (ANALYZE, FORMAT JSON) {select}")[0][1]
        plan = plan_from(json.loads(text), _version(ask), Words(select, ENGINE))
        return Explained(plan, _tables(ask, plan))


@contextmanager
def reading(connection: Any, seconds: float) -> Iterator[Any]:
    """A cursor within a transaction that can only read; it is rolled back.

    Args:
        connection: of duckdb-engine or of DuckDB; no transaction is open on it.
        seconds: that all statements may take together.

    Raises:
        PlanError: the source refuses, or takes longer.
    """
    cursor, over = connection.cursor(), Event()

    def end() -> None:
        over.set()
        cursor.interrupt()  # what DuckDB itself calls a cursor is a connection of its own

    timer = Timer(seconds, end)
    timer.daemon = True
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        timer.start()
        yield cursor
    except PlanError:
        raise
    except Exception as error:  # noqa: BLE001  (of the driver, whichever it is)
        raise _refused(error, seconds, over.is_set()) from None
    finally:
        timer.cancel()
        _roll_back(cursor)


def refuse_volatile(cursor: Any, sql: str, hint: str) -> None:
    """Plan a statement, and run nothing of it.

    Raises:
        PlanError: it may do more than return a value; `hint` ends the message.
    """
    ask = partial(_asked, cursor)
    _refuse_calls(ask, f"{ask(f'EXPLAIN (FORMAT JSON) {sql}')[0][1]} {sql}", hint)


def _asked(cursor: Any, sql: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
    cursor.execute(sql, list(parameters))
    return list(cursor.fetchall())


def _roll_back(cursor: Any) -> None:
    try:
        cursor.execute("ROLLBACK")
    except Exception:  # noqa: BLE001  (no transaction was begun, or what ended it was an error)
        return


def _refused(error: Exception, seconds: float, was_late: bool) -> PlanError:
    name = type(driver_error(error)).__name__
    if was_late:
        return PlanError(f"the source did not finish within {seconds:g} s; allow more with --timeout", name)
    return PlanError(f"the source does not explain it: {first_line(error)}", name)


def _refuse_calls(ask: Ask, text: str, hint: str) -> None:
    calls = sorted({name.lower() for name in _CALL.findall(text)})
    names = [row[0] for row in ask(query_text("duckdb_volatile_parts"), [calls])]
    if names:
        what = f"it calls {', '.join(names[:3])}, which may do more than return a value"
        raise PlanError(f"{what}{hint}", "Volatile")


def _version(ask: Ask) -> int:
    parts = [int(part) for part in _DIGITS.findall(str(ask("SELECT version()")[0][0]))[:3]]
    major, minor, patch = [*parts, 0, 0, 0][:3]
    return major * 10_000 + minor * 100 + patch


def _tables(ask: Ask, plan: Plan) -> dict[tuple[str, str], Table]:
    names = {(node.schema, node.relation) for node in plan.nodes() if node.schema and node.relation}
    rows = {name: ask(query_text("duckdb_tables_of_a_plan"), name) for name in sorted(names)}
    return {name: _table(*name, *one[0]) for name, one in rows.items() if one}


def _table(schema: str, name: str, rows: int | None, columns: Any, keys: Any) -> Table:
    known = {column["name"]: Column(column["type"], column["not_null"]) for column in columns or ()}
    indexes = tuple(Index(f"on {', '.join(key)}", tuple(key), unique=True) for key in keys or ())
    return Table(schema, name, "r", float(rows or 0), 0.0, columns=known, indexes=indexes)
