"""The statement that a probe sends to its source. It only reads."""

from __future__ import annotations

import json
import re
from typing import Any

from superset_ext.freshness.probe import postgresql
from superset_ext.freshness.probe.subject import POSTGRESQL, ProbeFailed, Source
from superset_ext.host.sql import parsed
from superset_ext.settings import Probe
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.table import Table

OTHERWISE = "give the probe a column that grows, or sql of its own"
_TEMPLATE = re.compile(r"{[{%#]")


def question(probe: Probe, source: Source) -> tuple[str, tuple[str, ...]]:
    """The statement and its parameters; only that of PostgreSQL's statistics has any.

    Raises:
        ProbeFailed: there is no statement for this source, or it does more than read.
    """
    if probe.sql is not None:
        return _reading(probe.sql, source.engine), ()
    if probe.column is not None:
        return _from(source, f"max({_quoted(source.database, probe.column)})"), ()
    if probe.method == "count" or (probe.method == "auto" and source.engine != POSTGRESQL):
        return _from(source, "count(*)"), ()
    if source.engine != POSTGRESQL:
        raise ProbeFailed(f"{source.engine} has no statistics of changes; {OTHERWISE}")
    return postgresql.statistics(), (json.dumps([postgresql.spellings(*name) for name in _tables(source)]),)


def _reading(sql: str, engine: str, whose: str = "its sql") -> str:
    """The SQL, if it is one statement that only reads.

    Raises:
        ProbeFailed: it is something else, or cannot be parsed.
    """
    script = parsed(sql, engine)
    if script is None:
        raise ProbeFailed(f"{whose} cannot be read; write one SELECT")
    if len(script.statements) != 1:
        raise ProbeFailed(f"{whose} has {len(script.statements)} statements; write one SELECT")
    if not _only_reads(script.statements[0]):
        raise ProbeFailed(f"{whose} does more than read; write one SELECT")
    return sql


def _only_reads(statement: Any) -> bool:
    """Superset's own judgement, and what it leaves out: SELECT INTO, and rows that are locked."""
    from sqlglot import exp

    tree = statement._parsed
    if statement.is_mutating() or not isinstance(tree, exp.Expression):
        return bool(statement.is_select() and not statement.is_mutating())
    return isinstance(tree, exp.Query) and tree.find(exp.Into, exp.Lock) is None


def _from(source: Source, expression: str) -> str:
    """A SELECT of one expression over all rows of the source."""
    if source.sql is None:
        table = ".".join(_quoted(source.database, part) for part in (source.schema, source.table) if part)
        return f"SELECT {expression} FROM {table}"  # noqa: S608  (quoted by the dialect)
    # The line's end closes a comment at the end of the dataset's SQL.
    return f"SELECT {expression} FROM ({_virtual(source)}\n) probed"  # noqa: S608  (the dataset's own)


def _quoted(database: Any, name: str) -> str:
    preparer = database.get_dialect().identifier_preparer
    quoted = str(preparer.quote(name))
    return quoted.replace("%%", "%") if preparer._double_percents else quoted


def _virtual(source: Source) -> str:
    sql = str(source.sql).strip().rstrip(";")
    if _TEMPLATE.search(sql):
        raise ProbeFailed("the dataset's SQL is a template, which is other SQL for each user; give the probe sql")
    return _reading(sql, source.engine, "the dataset's SQL")


def _tables(source: Source) -> list[tuple[str, str]]:
    """Schema and name of each table that the data comes from, as they are written."""
    if source.sql is None:
        return [(source.schema, source.table)]
    sql = _virtual(source)
    tables = read_tables(sql, source.engine)
    if not tables:
        raise ProbeFailed(f"the tables of the dataset's SQL cannot be known; {OTHERWISE}")
    script = parsed(sql, source.engine)
    named = [(table.schema or "", table.table) for table in script.statements[0].tables] if script else []
    written = {Table(*name): name for name in named}
    return [written.get(table, (table.schema, table.name)) for table in sorted(tables)]
