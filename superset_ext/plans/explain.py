"""Asks a PostgreSQL source for the plan of a query.

The connection is the caller's. What is asked here only reads: the transaction is read-only, with limits for each
statement and for each lock, and is rolled back. EXPLAIN runs nothing of the query but what the planner itself evaluates
(functions that are declared not to be volatile). ANALYZE runs it, and only where no volatile function is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import PlanError, SourceBusy
from superset_ext.plans.one_select import one_select
from superset_ext.plans.postgresql import ENGINE, plan_from
from superset_ext.plans.tables import Tables, tables_of
from superset_ext.plans.tree import Plan
from superset_ext.plans.words import Words

OLDEST = 120_000  # the first version with SETTINGS
SECONDS = 5.0
LOCK_SECONDS = 0.5
_LIMITS = """
SET TRANSACTION READ ONLY;
SET LOCAL statement_timeout = {ms};
SET LOCAL lock_timeout = {lock_ms};
SET LOCAL idle_in_transaction_session_timeout = {idle_ms}
"""
# Of roles whose sessions this one may not look into, nothing is known.
_ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
_CALL = re.compile(r'("(?:[^"]|"")+"|[^\W\d][\w$]*)\s*\(')
_OPERATOR = re.compile(r"[-:+*/<>=~!@#%^&|`?]+")


@dataclass(frozen=True, slots=True)
class Explained:
    """What a source says of a query.

    Attributes:
        plan: without values.
        tables: what the source knows of the tables in it.
    """

    plan: Plan
    tables: Tables


def explain(
    connection: Any,
    sql: str,
    seconds: float = SECONDS,
    analyze: bool = False,
    most: int | None = None,
    refuses_volatile: bool = False,
) -> Explained:
    """The plan of one SELECT, and what the source knows of its tables.

    Args:
        connection: of psycopg2; its transaction is rolled back.
        seconds: that each statement may take.
        analyze: run it, and say what that took.
        most: queries that may be under way on the source; not asked where it is `None`.
        refuses_volatile: refuse what may do more than return a value also where nothing is run.

    Raises:
        SourceBusy: more are.
        PlanError: it is not one SELECT that only reads, or the source did not explain it.
    """
    select = one_select(sql, ENGINE)
    _check(connection)
    with reading(connection, seconds) as cursor:
        if most is not None:
            refuse_busy(cursor, most)
        value = asked(cursor, "", select)
        if analyze or refuses_volatile:
            refuse_volatile(cursor, value, "" if refuses_volatile else "--analyze")
        if analyze:
            value = asked(cursor, ", ANALYZE, BUFFERS", select)
        plan = plan_from(value, connection.server_version, Words(select, ENGINE))
        return Explained(plan, tables_of(cursor, plan))


@contextmanager
def reading(connection: Any, seconds: float) -> Iterator[Any]:
    """A cursor that can only read, within limits; everything is rolled back at the end.

    Raises:
        PlanError: the source refused or did not answer in time; `cause` has the class of its error.
    """
    if connection.autocommit:
        connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            ms = max(1, int(seconds * 1000))
            cursor.execute(_LIMITS.format(ms=ms, lock_ms=int(LOCK_SECONDS * 1000), idle_ms=ms + 5000))
            yield cursor
    except PlanError:
        raise
    except Exception as error:  # noqa: BLE001  (of the driver, whichever it is)
        raise _refused(error, seconds) from None
    finally:
        if not connection.closed:
            connection.rollback()


def _check(connection: Any) -> None:
    if connection.server_version < OLDEST:
        raise PlanError(f"plans need PostgreSQL 12 or later, and this is {connection.server_version // 10_000}")
    if connection.info.parameter_status("standard_conforming_strings") != "on":
        raise PlanError("standard_conforming_strings is off there, so the end of a string is not sure")


def refuse_busy(cursor: Any, most: int) -> None:
    """Raise if more than `most` queries are under way on the source, as far as its role may see.

    Raises:
        SourceBusy: they are.
    """
    cursor.execute(_ACTIVE)
    (active,) = cursor.fetchone()
    if active > most:
        raise SourceBusy(f"{active} queries are under way on the source, and {most} may be for it to be looked at")


def asked(cursor: Any, options: str, select: str) -> Any:
    """PostgreSQL's own JSON of a plan, which holds values of the query."""
    cursor.execute(f"EXPLAIN (FORMAT JSON, VERBOSE, SETTINGS{options}) {select}")
    value = cursor.fetchone()[0]
    return (json.loads(value) if isinstance(value, str) else value)[0]


def refuse_volatile(cursor: Any, value: Any, flag: str) -> None:
    """Raise if anything in a plan may do more than return a value.

    The plan has been made of views, policies and functions that were put in their place, so it names what they call.

    Raises:
        PlanError: it may; without the option `flag`, if there is one, it is explained all the same.
    """
    texts = "\n".join(_texts(value))
    calls = sorted({name.strip('"').replace('""', '"') for name in _CALL.findall(texts)} | set(_functions(value)))
    operators = sorted(set(_OPERATOR.findall(texts)))
    cursor.execute(query_text("postgresql_volatile_parts"), {"calls": calls, "operators": operators})
    names = [row[0] for row in cursor.fetchall()]
    if names:
        other = f"; it is explained without {flag}" if flag else ""
        raise PlanError(f"it calls {', '.join(names[:3])}, which may do more than return a value{other}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _functions(value: Any) -> Iterable[str]:
    """Functions that a plan names by themselves, as those in FROM."""
    if isinstance(value, list):
        for item in value:
            yield from _functions(item)
    elif isinstance(value, dict):
        if "Function Name" in value:
            yield str(value["Function Name"])
        for item in value.values():
            yield from _functions(item)


def _refused(error: Exception, seconds: float) -> PlanError:
    name = type(driver_error(error)).__name__
    if name == "QueryCanceled":
        return PlanError(f"the source did not finish within {seconds:g} s; allow more with --timeout", name)
    if name == "LockNotAvailable":
        return PlanError(f"a table in it is locked for longer than {LOCK_SECONDS:g} s; try again later", name)
    return PlanError(f"the source does not explain it: {first_line(error)}", name)
