"""What to ask a source: the statement of a probe, which only reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from superset_ext.errors import SupersetExtError
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe import postgresql as postgresql
from superset_ext.settings import Probe
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.table import Table

OTHERWISE = "give the probe a column that grows, or sql of its own"
_TEMPLATE = re.compile(r"{[{%#]")


class ProbeFailed(SupersetExtError):
    """A source cannot be asked, or what it says is no answer."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe is about, as Superset knows it.

    Attributes:
        name: what people call the probe.
        database_id: Superset's id of the database.
        tables: the source table; empty for a dataset that is a query.
        dataset_id: Superset's dataset, where the probe is of one.
    """

    name: str
    database_id: int
    tables: tuple[SourceTable, ...] = ()
    dataset_id: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data comes from.

    Attributes:
        database: Superset's `Database`.
        catalog, schema: `""` where they are not known.
        table: its name, or the dataset's.
        sql: of a dataset that is a query.
        dataset_id: of a dataset.
    """

    database: Any
    catalog: str
    schema: str
    table: str
    sql: str | None = None
    dataset_id: int | None = None

    def __repr__(self) -> str:
        """All that makes it another source."""
        database = self.database
        return repr((database.id, database.sqlalchemy_uri, self.catalog, self.schema, self.table, self.sql))

    @property
    def engine(self) -> str:
        """Superset's name of the kind of database."""
        return str(self.database.db_engine_spec.engine)

    def probed(self, name: str) -> Probed:
        """Who is to be told when it changes."""
        table = SourceTable(self.database.id, Table(self.schema, self.table))
        return Probed(name, self.database.id, () if self.sql else (table,), self.dataset_id)


def question(probe: Probe, source: Source) -> tuple[str, tuple[str, ...]]:
    """The statement, and its parameters; only that of PostgreSQL's statistics has any.

    Raises:
        ProbeFailed: there is none, or it does more than read.
    """
    if probe.sql is not None:
        return _reading(probe.sql, source.engine), ()
    if probe.column is not None:
        return _from(source, f"max({_quoted(source.database, probe.column)})"), ()
    if probe.method == "count" or (probe.method == "auto" and source.engine != postgresql.ENGINE):
        return _from(source, "count(*)"), ()
    if source.engine != postgresql.ENGINE:
        raise ProbeFailed(f"{source.engine} has no statistics of changes; {OTHERWISE}")
    return postgresql.STATISTICS, (json.dumps([postgresql.spellings(*each) for each in _tables(source)]),)


def _reading(sql: str, engine: str, whose: str = "its sql") -> str:
    """A statement, which is checked to be one that only reads.

    Raises:
        ProbeFailed: it is something else, or cannot be read.
    """
    from superset.exceptions import SupersetParseError
    from superset.sql.parse import SQLScript

    try:
        statements = SQLScript(sql, engine).statements
    except SupersetParseError:
        raise ProbeFailed(f"{whose} cannot be read; write one SELECT") from None
    if len(statements) != 1:
        raise ProbeFailed(f"{whose} has {len(statements)} statements; write one SELECT")
    if not _only_reads(statements[0]):
        raise ProbeFailed(f"{whose} does more than read; write one SELECT")
    return sql


def _only_reads(statement: Any) -> bool:
    """Superset's own word, and what it leaves out: SELECT INTO, and rows that are locked."""
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
        raise ProbeFailed("the dataset's SQL is a template, which is other SQL for each who asks; give the probe sql")
    return _reading(sql, source.engine, "the dataset's SQL")


def _tables(source: Source) -> list[tuple[str, str]]:
    """Schema and name of each table that the data comes from, as they are written."""
    from superset.sql.parse import SQLScript

    if source.sql is None:
        return [(source.schema, source.table)]
    sql = _virtual(source)
    tables = read_tables(sql, source.engine)
    if not tables:
        raise ProbeFailed(f"the tables of the dataset's SQL cannot be known; {OTHERWISE}")
    named = [(each.schema or "", each.table) for each in SQLScript(sql, source.engine).statements[0].tables]
    written = {Table(*each): each for each in named}
    return [written.get(table, (table.schema, table.name)) for table in sorted(tables)]
