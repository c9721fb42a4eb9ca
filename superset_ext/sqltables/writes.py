"""Which tables a piece of SQL writes; `None` where something else may have been written too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.tsql import TSQL

from superset_ext.sqltables.reads import CHANGING, QUERIES, Walk, parts_of
from superset_ext.sqltables.statement import (
    NAME,
    PART,
    Statement,
    dialect_of,
    settled,
    silent_parser,
    statements,
    words_of,
)
from superset_ext.sqltables.table import Table, Unknown, table_of

_TARGETS = [(re.compile(pattern, re.IGNORECASE), schema_change) for pattern, schema_change in (
    (rf"DROP (?:(?:TEMPORARY|FOREIGN|EXTERNAL|MATERIALIZED|DYNAMIC) )?(?:TABLE|VIEW) (?:IF EXISTS )?"
     rf"({NAME}(?: , {NAME})*)(?: ON CLUSTER {PART})?(?: (?:CASCADE|RESTRICT|CONSTRAINTS|PURGE|SYNC|FORCE))*", True),
    (rf"RENAME (?:TABLES? )?(?:IF EXISTS )?({NAME}(?: (?:TO|,) {NAME})+)", True),
    (rf"EXCHANGE TABLES ({NAME} AND {NAME})", False),
    (rf"(?:UNDROP|(?:AT|DE)TACH) (?:TABLE|VIEW) ({NAME})(?: .*)?", True),
    (rf"REFRESH (?:MATERIALIZED VIEW|TABLE) (?:CONCURRENTLY )?({NAME})(?: .*)?", False),
    (rf"REPLACE (?:LOW_PRIORITY |DELAYED )?(?:INTO )?({NAME}) .*", False),
    (rf"INSERT (?:(?:LOW_PRIORITY|HIGH_PRIORITY|DELAYED|IGNORE) )*(?:INTO )?(?:TABLE )?({NAME}) (?:SET|FORMAT) .*",
     False),
    (rf"LOAD (?:DATA|XML) (?:.* INTO TABLE|INTO(?: TABLE)?|OVERWRITE(?: TABLE)?) ({NAME})(?: .*)?", False),
    (rf"BULK INSERT ({NAME}) FROM .*", False),
    (rf"(?:OPTIMIZE(?: TABLE)?|MSCK REPAIR(?: TABLE)?|RESTORE TABLE|FLASHBACK TABLE) ({NAME})(?: .*)?", False),
)]  # fmt: skip
_ALTER = re.compile(
    rf"ALTER (?:(?:FOREIGN|EXTERNAL|MATERIALIZED|DYNAMIC) )?(?:TABLE|VIEW) (?:IF EXISTS )?(?:ONLY )?({NAME})( .*)",
    re.IGNORECASE,
)
# What ALTER names beside its table, and does to the rows rather than to their shape.
_RENAMED = re.compile(rf"\bRENAME (?:TO |AS )?({NAME})(?= ,|$)", re.IGNORECASE)
_MOVED = re.compile(rf" SET SCHEMA ({PART})", re.IGNORECASE)
_INVOLVED = re.compile(
    rf"\b(?:SWAP WITH|TO TABLE|WITH TABLE|APPEND FROM|INHERIT|SWITCH(?: PARTITION \S+)? TO|(?:AT|DE)TACH PARTITION)"
    rf" ({NAME})", re.IGNORECASE,
)  # fmt: skip
_OF_ROWS = re.compile(
    r" (ON CLUSTER \S+ )?(DELETE |UPDATE |SWAP |SWITCH |APPEND |EXECUTE |(NO )?INHERIT |\w+ PARTITIONS?\b)",
    re.IGNORECASE,
)
# Only the session that makes them sees them.
_TEMPORARY = re.compile(
    rf"CREATE (?:LOCAL |GLOBAL )?(?:TEMP|TEMPORARY) TABLE (?:IF NOT EXISTS )?({NAME}) .*", re.IGNORECASE
)
# T-SQL needs no semicolon between statements; sqlglot then takes the second one for something else, or for nothing.
_TSQL_STARTS = words_of("INSERT UPDATE DELETE MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE BULK")
_RUNS = words_of("SELECT WITH INSERT UPDATE DELETE MERGE REPLACE CREATE VALUES TABLE REFRESH EXECUTE CALL FROM")
# Words of MySQL and T-SQL that sqlglot takes for names.
_NO_NAMES = words_of("DELETE UPDATE INSERT MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE LOW_PRIORITY QUICK IGNORE TOP")


_READS = words_of("SELECT WITH VALUES TABLE FROM ( EXPLAIN SHOW SET DESCRIBE DESC")
# What may end temporary tables, so that their names mean other tables.
_ENDS = words_of("ROLLBACK ABORT COMMIT END DISCARD")


@dataclass(frozen=True, slots=True)
class Written:
    """What a piece of SQL writes.

    Attributes:
        tables: that have other rows, or another shape, than before.
        schema_change: whether one of them was made, dropped, renamed or altered.
        rows: those of the tables whose rows were changed, so that triggers, rules and foreign keys may have acted.
        calls: names that may be those of functions that it calls, in lower case.
        is_ambiguous: whether a name without schema may have meant several tables, one after the other, on a search
            path with several schemas.
        is_kept: whether it does more than to read, so that what a function has written is committed.
    """

    tables: frozenset[Table]
    schema_change: bool
    rows: frozenset[Table] = field(default=frozenset(), compare=False)
    calls: frozenset[str] = field(default=frozenset(), compare=False)
    is_ambiguous: bool = field(default=False, compare=False)
    is_kept: bool = field(default=False, compare=False)

    def __or__(self, other: Written) -> Written:
        """What two pieces write together."""
        return Written(
            self.tables | other.tables,
            self.schema_change or other.schema_change,
            self.rows | other.rows,
            self.calls | other.calls,
            self.is_ambiguous or other.is_ambiguous,
            self.is_kept or other.is_kept,
        )


@silent_parser()
def written_tables(sql: str, engine: str) -> Written | None:
    """The tables that SQL writes, `None` where something else may have been written too.

    A function that is called is taken to write nothing, and what triggers and foreign keys do is not known: only the
    source knows (see `freshness.relations.effects`).

    Args:
        sql: one or several statements.
        engine: see `read_tables`.
    """
    try:
        return _write(sql, engine)
    except Exception:  # noqa: BLE001  (see read_tables)
        return None


def _write(sql: str, engine: str) -> Written:
    if engine == "kustokql":
        return _of_kusto(sql)
    script = _Script()
    for statement in statements(sql, dialect_of(engine) or Dialect.get_or_raise(None)):
        script.add(statement, _of_statement(statement))
    settled(set(script.written.tables), script.moved, least=0)
    return script.written


class _Script:
    """Statements one after the other: what names mean may depend on those before.

    Attributes:
        written: what they write together.
        moved: whether a name without schema may by now mean another table.
    """

    def __init__(self) -> None:
        self.written = Written(frozenset(), False)
        self.moved = False
        self._temporary: set[Table] = set()
        self._made: set[Table] = set()

    def add(self, statement: Statement, written: Written) -> None:
        """Add the next statement."""
        self.moved |= statement.moves
        if self.moved or statement.first in _ENDS:
            self._temporary.clear()
        if not self.moved and (made := _TEMPORARY.fullmatch(statement.words)):
            self._temporary.add(statement.name(made[1]))
        others = written.tables - self._temporary
        is_ambiguous = bool(others) and written.schema_change and self._is_other(statement, others)
        rows, shape = written.rows - self._temporary, written.schema_change and bool(others)
        is_kept = bool(written.tables) or statement.first not in _READS
        self._refuse_lost_effects(statement, written)
        self.written |= Written(others, shape, rows, statement.calls, is_ambiguous, is_kept)
        if statement.first in ("DROP", "ALTER"):
            self._temporary -= written.tables

    def _refuse_lost_effects(self, statement: Statement, written: Written) -> None:
        """Refuse a table that is dropped or made anew after its rows were written.

        Raises:
            Unknown: what its triggers, its rules or its view did then can no longer be asked.
        """
        rows = self.written.rows - self._made
        if written.schema_change and any(_may_be_one(table, row) for table in written.tables for row in rows):
            raise Unknown(statement.first)
        if statement.first == "CREATE":
            self._made |= written.tables

    def _is_other(self, statement: Statement, tables: frozenset[Table]) -> bool:
        """Whether one of the names means another table after this statement than before."""
        before = {table.name for table in self.written.tables if not table.schema}
        is_bare = any(not table.schema for table in tables)
        return (is_bare and statement.first != "CREATE") or any(table.name in before for table in tables)


def _may_be_one(table: Table, other: Table) -> bool:
    return table.name == other.name and (table.schema == other.schema or not (table.schema and other.schema))


def _of_kusto(sql: str) -> Written:
    from superset.sql.parse import SQLScript

    if SQLScript(sql, "kustokql").has_mutation():
        raise Unknown("kustokql")
    return Written(frozenset(), False)


def _of_statement(statement: Statement) -> Written:
    if isinstance(statement.dialect, TSQL) and _is_several(statement):
        raise Unknown("several statements")
    words = statement.words
    for pattern, schema_change in _TARGETS:
        if target := pattern.fullmatch(words):
            tables = frozenset(statement.names(target[1]))
            return Written(tables, schema_change, frozenset() if schema_change else tables)
    if altered := _ALTER.fullmatch(words):
        return _of_alter(statement, altered[1], altered[2])
    if statement.first == "EXPLAIN":
        return _of_explain(statement)
    if statement.is_harmless:
        return Written(frozenset(), False)
    return _of_tree(statement)


def _is_several(statement: Statement) -> bool:
    words = [*(word.upper() for word in statement.words.split()), ""]
    starts = [
        word for before, word, after in zip(["", *words], words, words[1:], strict=False)
        if word in _TSQL_STARTS and before not in ("THEN", "ON", "OR", "BULK") and after not in ("COLUMN", "CONSTRAINT")
    ]  # fmt: skip
    return len(starts) > 1


def _of_alter(statement: Statement, name: str, rest: str) -> Written:
    table = statement.name(name)
    tables = {table} | {statement.name(other[1]) for other in _INVOLVED.finditer(rest)}
    for other in _RENAMED.finditer(rest):
        # Without a schema it stays in its own, or comes into the session's, as the server likes.
        renamed = statement.name(other[1])
        tables |= {renamed, Table(renamed.schema or table.schema, renamed.name)}
    if moved := _MOVED.fullmatch(rest):
        tables.add(Table(statement.name(moved[1]).name, table.name))
    return Written(frozenset(tables), schema_change=not _OF_ROWS.match(rest))


def _of_explain(statement: Statement) -> Written:
    """EXPLAIN writes nothing, unless it is told to run what it explains."""
    tokens = statement.tokens
    start = next((place for place, token in enumerate(tokens) if token.text.upper() in _RUNS), len(tokens))
    if not any(token.text.upper() == "ANALYZE" for token in tokens[:start]):
        return Written(frozenset(), False)
    if start == len(tokens):
        raise Unknown("EXPLAIN ANALYZE")
    return _of_statement(Statement.of(tokens[start:], statement.dialect, statement.source))


def _of_tree(statement: Statement) -> Written:
    tree, dialect = statement.tree(), statement.dialect
    if not isinstance(tree, (*QUERIES, exp.Create, exp.TruncateTable, exp.Copy)):
        raise Unknown(tree.key)
    if any(not name.quoted and name.name.upper() in _NO_NAMES for name in tree.find_all(exp.Identifier)):
        raise Unknown("a keyword as name")
    made: set[Table] = set()
    tables: set[Table] = set()
    for node in tree.find_all(exp.Create, exp.Into):
        made |= _made(node)
    for node in tree.find_all(*CHANGING, exp.TruncateTable, exp.Copy, exp.Returning):
        if not isinstance(node.parent, exp.When):  # a part of MERGE
            tables |= _changed(node, dialect)
    return Written(frozenset(made | tables), schema_change=bool(made), rows=frozenset(tables))


def _made(node: exp.Expression) -> set[Table]:
    """What CREATE or SELECT INTO makes.

    Raises:
        Unknown: neither a table nor a view: a function may change what every query returns.
    """
    if isinstance(node, exp.Create) and node.kind == "INDEX":
        return set()
    if isinstance(node, exp.Create) and node.kind not in ("TABLE", "VIEW"):
        raise Unknown(node.kind)
    return _named([node.this])


def _changed(node: exp.Expression, dialect: Dialect) -> set[Table]:
    """The tables whose rows a statement, or a part of one, changes.

    Raises:
        Unknown: it cannot be known which.
    """
    if isinstance(node, exp.Returning):
        return _named([node.args["into"]]) if node.args.get("into") else set()
    if isinstance(node, exp.TruncateTable):
        if str(node.args.get("option") or "").upper() == "CASCADE":
            raise Unknown("TRUNCATE")
        return _named(node.expressions)
    if isinstance(node, exp.Copy):
        return _named([node.this]) if node.args.get("kind") else set()
    return _through_ctes(node, [node.this] if isinstance(node, exp.Insert) else _aimed_at(node), dialect)


def _aimed_at(node: exp.Expression) -> list[Any]:
    """What UPDATE, DELETE or MERGE is aimed at, which it may name by an alias of its FROM clause.

    Of several tables that MySQL joins in UPDATE, all are taken for changed.
    """
    own, named = _joined(node.this), node.args.get("tables") or []
    sources = [*own, *_joined(node.args.get("using")), *_joined(node.args.get("from_"))]
    by_name = {source.alias_or_name.casefold(): source for source in sources}
    matches = [by_name.get(_bare(target)) for target in named or own]
    unaliased = [
        target for target, source in zip(named or own, matches, strict=True) if source is None or not source.alias
    ]
    aims = [*unaliased, *(source for source in matches if source is not None)]
    return aims if all(matches) else aims + own  # T-SQL finds a target that its FROM clause does not have


def _bare(node: Any) -> str:
    return node.name.casefold() if isinstance(node, exp.Table) and not node.args.get("db") else ""


def _joined(node: Any) -> list[Any]:
    """The sources of a FROM clause, or of the like."""
    if isinstance(node, list):
        return [source for part in node for source in _joined(part)]
    if isinstance(node, (exp.From, exp.Join)):
        return _joined(node.this)
    return [] if node is None else [node, *_joined(node.args.get("joins") or [])]


def _named(nodes: Iterable[Any]) -> set[Table]:
    return {table_of([part.name for part in parts_of(table)]) for node in nodes for table in _targets(node)}


def _targets(node: Any) -> list[exp.Table]:
    """The tables that are written where this stands as the target; what is outside of the database is none.

    Raises:
        Unknown: a function stands there, or something that is not understood.
    """
    target = node.this if isinstance(node, exp.Schema) else node
    if isinstance(target, exp.Identifier):
        return [exp.Table(this=target)]
    if isinstance(target, exp.Subquery):  # Oracle writes through it
        return list(target.find_all(exp.Table))
    if isinstance(target, (exp.Directory, exp.Parameter)):
        return []
    if not isinstance(target, exp.Table) or isinstance(target.this, exp.Func):
        raise Unknown(str(target))
    session = isinstance(target.this, (exp.Parameter, exp.Var)) or target.this.args.get("temporary")
    return [] if session else [target]


def _through_ctes(node: exp.Expression, targets: list[Any], dialect: Dialect) -> set[Table]:
    """The tables of the targets; T-SQL writes through a CTE to what that reads."""
    with_ = node.args.get("with_")
    bodies = {cte.alias.casefold(): cte.this for cte in with_.expressions} if with_ else {}
    read = [Walk(bodies[_bare(target)], dialect).sources() for target in targets if _bare(target) in bodies]
    return _named(targets).union(*read)
