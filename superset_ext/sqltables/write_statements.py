"""What one statement writes: by its words where sqlglot does not understand it, else by its syntax tree."""

from __future__ import annotations

import re

from sqlglot.dialects.tsql import TSQL

from superset_ext.sqltables.statement import NAME, PART, Statement, words_of
from superset_ext.sqltables.table import Table, Unknown
from superset_ext.sqltables.write_targets import of_tree
from superset_ext.sqltables.written import Written

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
# T-SQL needs no semicolon between statements; sqlglot then takes the second one for something else, or for nothing.
_TSQL_STARTS = words_of("INSERT UPDATE DELETE MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE BULK")
_RUNS = words_of("SELECT WITH INSERT UPDATE DELETE MERGE REPLACE CREATE VALUES TABLE REFRESH EXECUTE CALL FROM")


def of_statement(statement: Statement) -> Written:
    """What a statement writes.

    Raises:
        Unknown: something may be written that its words do not name.
    """
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
    return of_tree(statement)


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
    return of_statement(Statement.of(tokens[start:], statement.dialect, statement.source))
