"""Which tables a piece of SQL reads, and which it writes; `None` where that cannot be known.

The text is split and parsed as Superset does it, with sqlglot and Superset's map of engines. What Superset's own
`.tables` gets wrong is done here: the scope of a CTE, `TABLE foo`, sources that are no tables, what is written.

Wrong are only the tables that are left out: one too many costs an entry its life, one too few makes a wrong chart.
So a name is taken for a CTE only where it surely is one, and whatever the parser does not understand, or silently
drops, makes the answer `None`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy
from sqlglot.dialects.hive import Hive
from sqlglot.dialects.mysql import MySQL
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.dialects.tsql import TSQL
from sqlglot.tokens import Token, TokenType

from superset_ext.cache.tags import Table

LIMIT_BYTES = 64 * 1024  # a list of 5,000 values takes 0.1 s to parse


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What may be run and asked for tables; whatever else a statement turns out to be is not understood.
_QUERIES = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.MultitableInserts, exp.Pivot,
            exp.Summarize)  # fmt: skip
_CHANGING = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
# Sources that the server itself computes from their arguments, by the name in sqlglot or in SQL. A name that only
# some dialects have may be somebody's own function in the others, which may read anything.
_PURE = _set(
    "unnest explodinggenerateseries generateseries jsontable xmltable json_each json_tree json_each_text jsonb_each "
    "jsonb_each_text json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text "
    "json_object_keys jsonb_object_keys json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset "
    "regexp_split_to_table string_to_table"
)
_PURE_OF: tuple[tuple[type[Dialect], frozenset[str]], ...] = (
    (Hive, _set("explode explodeouter posexplode posexplodeouter inline json_tuple parse_url_tuple stack")),
    (Snowflake, _set("explode flatten")),
    (TSQL, _set("openjson string_split")),
)
# Functions that read what an argument names, or that change where names are looked up.
_READERS = re.compile(
    r"dictget|dicthas|joinget|dblink|(query|table|schema|database|cursor)_to_xml|ts_stat$|set_config$"
    r"|(global)?(not)?in$", re.IGNORECASE,
)  # fmt: skip
_SYSTEM = frozenset({"pg_catalog", "safe", "net", "keys", "aead", "hll_count", "kll_quantiles", "dbms_random"})
_BARE = (exp.Lock, exp.Hint, exp.Into)  # they repeat an alias, or name what is written


class _Unknown(Exception):
    """What is read or written cannot be told."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a piece of SQL writes.

    Attributes:
        tables: that have other rows, or another shape, than before.
        schema_change: whether one of them was made, dropped, renamed or altered.
    """

    tables: frozenset[Table]
    schema_change: bool


def read_tables(sql: str, engine: str) -> frozenset[Table] | None:
    """The tables that SQL reads, `None` where they cannot be known or there is none.

    Args:
        sql: one or several statements.
        engine: Superset's name of the engine, as in `database.db_engine_spec.engine`.
    """
    try:
        return _read(sql, engine)
    except Exception:  # noqa: BLE001  (a parser may raise anything over what somebody typed)
        return None


def written_tables(sql: str, engine: str) -> Written | None:
    """The tables that SQL writes, `None` where something else may have been written too.

    A function that is called in a SELECT is taken to write nothing; what triggers and foreign keys do is not known.

    Args:
        sql: one or several statements.
        engine: see `read_tables`.
    """
    try:
        return _write(sql, engine)
    except Exception:  # noqa: BLE001  (see read_tables)
        return None


def _read(sql: str, engine: str) -> frozenset[Table]:
    tables: set[Table] = set()
    moved = False
    dialect = _dialect(engine)
    if dialect is None:
        raise _Unknown(engine)
    for statement in _statements(sql, dialect):
        moved |= statement.moves
        if not statement.is_session or statement.may_read:
            tables |= set(_Walk(statement.tree(), dialect).sources())
    return _settled(tables, moved, least=1)


def _settled(tables: set[Table], moved: bool, least: int) -> frozenset[Table]:
    """The tables, where a name without schema still means what it meant at the beginning.

    Raises:
        _Unknown: it may not, or there are fewer than `least`.
    """
    if len(tables) < least or (moved and not all(table.schema for table in tables)):
        raise _Unknown
    return frozenset(tables)


def _dialect(engine: str) -> Dialect | None:
    from superset.sql.parse import SQLGLOT_DIALECTS

    found = SQLGLOT_DIALECTS.get(engine)
    return None if found is None else Dialect.get_or_raise(found)


# Statements


_PART = r'(?:# )*(?:"\d+"|[\w$@]+)'
_NAME = rf"{_PART}(?:(?: [.-])+ {_PART})*"
_CHANGES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|DROP|ALTER|CREATE|EXEC|EXECUTE|CALL|INTO|COPY|LOAD|RENAME"
    r"|REFRESH)\b", re.IGNORECASE,
)  # fmt: skip
_BEGIN = re.compile(
    r"(BEGIN|START)( (TRAN|TRANSACTION|WORK|DEFERRED|IMMEDIATE|EXCLUSIVE|CONCURRENT|ISOLATION|LEVEL|READ|WRITE|ONLY"
    r"|COMMITTED|UNCOMMITTED|REPEATABLE|SERIALIZABLE|SNAPSHOT|NOT|DEFERRABLE|WITH|CONSISTENT|,))*", re.IGNORECASE,
)  # fmt: skip
_SESSION = _set(
    "SET RESET USE DECLARE COMMIT END ROLLBACK ABORT SAVEPOINT RELEASE DISCARD LISTEN UNLISTEN NOTIFY CHECKPOINT "
    "DEALLOCATE FETCH CLOSE PRINT GO PRAGMA KILL INSTALL"
)
# Beside those, statements that show or tend something; a script in which a chart's rows come of one is not understood.
_HARMLESS = _SESSION | _set(
    "VACUUM ANALYZE CLUSTER REINDEX UNLOCK CACHE UNCACHE EXPORT UNLOAD LIST LS SUMMARIZE CHECK CHECKSUM HELP"
)
_NEVER_CHANGES = _set("SHOW DESCRIBE DESC GRANT REVOKE COMMENT LOCK SECURITY")
_BESIDE = re.compile(r"ALTER (SESSION|SYSTEM|INDEX) |DROP INDEX ", re.IGNORECASE)
_MOVES = re.compile(
    r"USE (?!WAREHOUSE )|(RESET|DISCARD)\b|(ALTER SESSION )?(UN)?SET( LOCAL| SESSION| GLOBAL)?"
    r'( "| .*(PATH|SCHEMA|CATALOG|DATABASE|ROLE|AUTH|MODE|QUOTED|USER))', re.IGNORECASE,
)  # fmt: skip
_CTE = re.compile(rf"\bWITH (?:RECURSIVE )?{_PART} (?:\(|AS (?:\(|NOT\b|MATERIALIZED\b))", re.IGNORECASE)
_TABLE_STARTS = frozenset({"(", "UNION", "EXCEPT", "INTERSECT", "MINUS", "ALL", "DISTINCT", "AS"})
# T-SQL needs no semicolon between statements; sqlglot then takes the second one for something else, or for nothing.
_TSQL_STARTS = _set("INSERT UPDATE DELETE MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE BULK")


@dataclass(frozen=True)
class _Statement:
    """One statement, as its tokens, without comments.

    Attributes:
        dialect: how it was split, and is parsed.
        source: the text that the tokens are of.
        is_command: sqlglot keeps its tail as text.
    """

    tokens: list[Token]
    dialect: Dialect
    source: str
    is_command: bool = False

    @classmethod
    def of(cls, tokens: list[Token], dialect: Dialect, source: str) -> _Statement:
        """A statement; the tail of a command is split into tokens too."""
        if len(tokens) == 2 and tokens[0].token_type in dialect.tokenizer_class.COMMANDS:
            tail = tokens[1].text
            return cls([tokens[0], *dialect.tokenize(tail)], dialect, tail, is_command=True)
        return cls(tokens, dialect, source)

    @cached_property
    def words(self) -> str:
        """Its words with single spaces; a quoted name is its token's number in quotes, a string is empty."""
        return " ".join(_word(place, token) for place, token in enumerate(self.tokens))

    @property
    def first(self) -> str:
        """Its first word."""
        return self.tokens[0].text.upper().split()[0]

    @property
    def is_session(self) -> bool:
        """Whether it only sets something for its session, or begins and ends transactions."""
        if _BEGIN.fullmatch(self.words):
            return True
        return self.first in _SESSION and not _CHANGES.search(self.words)

    @property
    def is_harmless(self) -> bool:
        """Whether it surely writes no table."""
        if self.first in _NEVER_CHANGES and not isinstance(self.dialect, TSQL):
            return True
        if _BEGIN.fullmatch(self.words) or _BESIDE.match(self.words):
            return True
        return self.first in _HARMLESS | _NEVER_CHANGES and not _CHANGES.search(self.words)

    @property
    def may_read(self) -> bool:
        """Whether a statement of the session may hold a query."""
        return re.search(r"\(|\b(SELECT|FROM|TABLE)\b", self.words, re.IGNORECASE) is not None

    @property
    def moves(self) -> bool:
        """Whether names without schema may mean other tables after it."""
        return _MOVES.match(self.words) is not None

    def name(self, words: str) -> Table:
        """The table of a name in `words`.

        Raises:
            _Unknown: see `_table`.
        """
        parts = [""]
        for word in words.split():
            if word == ".":
                parts.append("")
            else:
                parts[-1] += self.tokens[int(word[1:-1])].text if word.startswith('"') else word
        return _table(".".join(parts).split(".") if isinstance(self.dialect, BigQuery) else parts)

    def names(self, words: str) -> Iterator[Table]:
        """The tables of several names with commas, TO or AND between them."""
        for each in re.split(r" (?:,|TO|AND) ", words, flags=re.IGNORECASE):
            if not each.startswith("#"):  # a temporary table of T-SQL
                yield self.name(each)

    def tree(self) -> exp.Expression:
        """What sqlglot makes of it.

        Raises:
            _Unknown: nothing that says what it reads and writes.
        """
        if self.is_command:
            raise _Unknown(self.first)
        tokens = list(_with_selects(self.tokens))
        (tree,) = self.dialect.parser().parse(tokens, self.source)
        if tree is None or self._is_short_of(tree, tokens):
            raise _Unknown(self.first)
        return tree

    def _is_short_of(self, tree: exp.Expression, tokens: list[Token]) -> bool:
        """Whether something is missing in the tree: of `WITH … (WITH … SELECT)` sqlglot drops the inner WITH."""
        selects = sum(token.token_type == TokenType.SELECT for token in tokens)
        return (
            selects > sum(1 for _ in tree.find_all(exp.Select))
            or len(_CTE.findall(self.words)) > sum(1 for _ in tree.find_all(exp.With))
            or any(token.text == "|>" for token in tokens)  # its selects are sqlglot's own, and cannot be counted
        )


def _word(place: int, token: Token) -> str:
    if token.token_type == TokenType.IDENTIFIER:
        return f'"{place}"'
    if token.token_type.name.endswith("STRING"):
        return "''"
    return " ".join(token.text.split())


def _with_selects(tokens: list[Token]) -> Iterator[Token]:
    """The tokens with SELECT * FROM in the place of the command TABLE, which sqlglot takes for a name."""
    before = "("
    for place, token in enumerate(tokens):
        follows = tokens[place + 1].token_type if place + 1 < len(tokens) else TokenType.L_PAREN
        if token.token_type == TokenType.TABLE and before in _TABLE_STARTS and follows != TokenType.L_PAREN:
            for kind, text in ((TokenType.SELECT, "SELECT"), (TokenType.STAR, "*"), (TokenType.FROM, "FROM")):
                yield Token(kind, text, token.line, token.col, token.start, token.end)
        else:
            yield token
        before = token.text.upper()


def _statements(sql: str, dialect: Dialect) -> list[_Statement]:
    """The statements of a text.

    Raises:
        _Unknown: it is too long, or the server may read it otherwise than sqlglot does.
    """
    if len(sql) > LIMIT_BYTES or len(sql.encode(errors="replace")) > LIMIT_BYTES:
        raise _Unknown("too long")
    # MySQL runs some comments, and takes `5--1` for a difference.
    if isinstance(dialect, MySQL) and re.search(r"/\*M?!|--(?![\s\x00-\x1f]|$)", sql):
        raise _Unknown("comments")
    found: list[list[Token]] = [[]]
    for token in dialect.tokenize(sql):
        if token.token_type == TokenType.SEMICOLON:
            found.append([])
        else:
            found[-1].append(token)
    return [_Statement.of(tokens, dialect, sql) for tokens in found if tokens]


def _table(parts: list[str]) -> Table:
    """The table of the parts of a name.

    Raises:
        _Unknown: `a..b` is in a schema that only the server knows; `a_*` is any number of tables.
    """
    schema, name = ["", *parts][-2:]
    if not name or "*" in name or (len(parts) > 1 and not schema):
        raise _Unknown(".".join(parts))
    return Table(schema, name)


# What is read


_Name = tuple[str, bool]
_Known = frozenset[_Name]


class _Walk:
    """A walk through a tree that knows at each place which names are CTEs.

    It keeps its own stack: a UNION of a thousand SELECTs is a thousand deep.
    """

    def __init__(self, tree: exp.Expression, dialect: Dialect, known: _Known = frozenset()) -> None:
        if isinstance(tree, exp.Create) and tree.kind not in ("TABLE", "VIEW"):
            raise _Unknown(tree.kind)
        if not isinstance(tree, (*_QUERIES, exp.Create, exp.Set, exp.Declare, exp.Table)):
            raise _Unknown(tree.key)
        self._dialect = dialect
        self._stack: list[tuple[exp.Expression, _Known]] = [(tree, known)]

    def sources(self) -> Iterator[Table]:
        """The tables that are read.

        Raises:
            _Unknown: something is read that is no table.
        """
        while self._stack:
            node, known = self._stack.pop()
            _check(node, self._dialect)
            if isinstance(node, exp.Table):
                yield from self._table(node, known)
            elif isinstance(node, exp.In):
                yield from self._in(node, known)
            self._descend(node, known)

    def _descend(self, node: exp.Expression, known: _Known) -> None:
        with_ = node.args.get("with_")
        inside = self._ctes(with_, known) if with_ else known
        target = node.args.get("this") if isinstance(node, (exp.Insert, exp.Create)) else None
        for child in node.iter_expressions():
            if child is not with_ and child is not target and not isinstance(child, _BARE):
                # What is changed is a table, whatever the CTEs are called.
                changed = isinstance(node, _CHANGING) and child is node.this
                self._stack.append((child, frozenset() if changed else inside))

    def _ctes(self, with_: exp.With, known: _Known) -> _Known:
        """What is known within a query; each of its CTEs sees those before it.

        Raises:
            _Unknown: one of them is no query.
        """
        for cte in with_.expressions:
            name = self._name(cte.args["alias"].this)
            body, scalar = cte.this, cte.args.get("scalar")
            if not scalar and not isinstance(body, _QUERIES):
                raise _Unknown(body.key)
            if with_.recursive and isinstance(body, exp.SetOperation) and not body.args.get("with_"):
                self._stack += [(body.this, known), (body.expression, known | {name})]
            else:
                self._stack.append((body, known))
            if not scalar:  # ClickHouse's WITH (SELECT …) AS x is a value
                known |= {name}
        return known

    def _name(self, identifier: exp.Identifier) -> _Name:
        """A name as it is compared. Quoted and unquoted ones differ: how those compare is the server's business."""
        sensitive = self._dialect.normalization_strategy is NormalizationStrategy.CASE_SENSITIVE
        text = identifier.name if identifier.quoted or sensitive else identifier.name.casefold()
        return text, bool(identifier.quoted)

    def _table(self, node: exp.Table, known: _Known) -> Iterator[Table]:
        if not isinstance(node.this, (exp.Identifier, exp.Dot)):
            _check_source(node, self._dialect)
            return
        parts = _parts(node)
        if len(parts) == 1 and self._name(parts[0]) in known:
            return
        if not parts[-1].quoted and parts[-1].name.upper() == "TABLE":
            raise _Unknown("TABLE")  # the command, in a place where it was not expected
        yield (table := _table([part.name for part in parts]))
        if "$" in table.name:  # Trino's "orders$partitions"
            yield Table(table.schema, table.name.partition("$")[0] or table.name)

    def _in(self, node: exp.In, known: _Known) -> Iterator[Table]:
        """`x IN orders` of ClickHouse and SQLite."""
        right = node.args.get("field") or (node.expressions[0] if len(node.expressions) == 1 else None)
        if isinstance(right, exp.Anonymous):
            raise _Unknown(right.name)
        if isinstance(right, exp.Column) and isinstance(right.this, exp.Identifier):
            parts = right.parts
            if len(parts) > 1 or self._name(parts[0]) not in known:
                yield _table([part.name for part in parts])


def _parts(node: exp.Table) -> list[exp.Identifier]:
    """The parts of a table's name, outermost first.

    Raises:
        _Unknown: one of them is a parameter or the like.
    """
    parts = [node.args.get("catalog"), node.args.get("db"), *_dotted(node.this)]
    while parts and parts[0] is None:
        parts.pop(0)
    named = [exp.to_identifier("") if part in (None, "") else part for part in parts]
    if not all(isinstance(part, exp.Identifier) for part in named):
        raise _Unknown(node.sql())
    return named


def _dotted(node: Any) -> list[Any]:
    return [*_dotted(node.this), node.expression] if isinstance(node, exp.Dot) else [node]


def _check(node: exp.Expression, dialect: Dialect) -> None:
    """Refuse what may read a table without naming it.

    Raises:
        _Unknown: it may.
    """
    if isinstance(node, exp.Anonymous) and _READERS.match(node.name):
        raise _Unknown(node.name)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func) and node.this.name.lower() not in _SYSTEM:
        raise _Unknown(node.sql())  # a function of a schema is somebody's own
    if isinstance(node, (exp.From, exp.Join, exp.Lateral, exp.TableFromRows)):
        _check_source(node, dialect)


def _check_source(node: exp.Expression, dialect: Dialect) -> None:
    """Refuse a source that is neither a table nor a query, nor a function that reads none.

    Raises:
        _Unknown: it is something else.
    """
    source = node.this
    if isinstance(source, (exp.Table, exp.Query, exp.Values, exp.Unnest, exp.Lateral, exp.TableFromRows, exp.Final)):
        return
    if isinstance(node, exp.Join) and node.args.get("kind") == "ARRAY":
        return
    name = (source.name if isinstance(source, exp.Anonymous) else source.key if source else "").lower()
    own = name in _PURE or any(name in names for kind, names in _PURE_OF if isinstance(dialect, kind))
    if not own or node.args.get("db"):
        raise _Unknown(name)


# What is written


_TARGETS = [(re.compile(pattern, re.IGNORECASE), schema_change) for pattern, schema_change in (
    (rf"DROP (?:(?:TEMPORARY|FOREIGN|EXTERNAL|MATERIALIZED|DYNAMIC) )?(?:TABLE|VIEW) (?:IF EXISTS )?"
     rf"({_NAME}(?: , {_NAME})*)(?: ON CLUSTER {_PART})?(?: (?:CASCADE|RESTRICT|CONSTRAINTS|PURGE|SYNC|FORCE))*", True),
    (rf"RENAME (?:TABLES? )?(?:IF EXISTS )?({_NAME}(?: (?:TO|,) {_NAME})+)", True),
    (rf"EXCHANGE TABLES ({_NAME} AND {_NAME})", False),
    (rf"(?:UNDROP|(?:AT|DE)TACH) (?:TABLE|VIEW) ({_NAME})(?: .*)?", True),
    (rf"REFRESH (?:MATERIALIZED VIEW|TABLE) (?:CONCURRENTLY )?({_NAME})(?: .*)?", False),
    (rf"REPLACE (?:LOW_PRIORITY |DELAYED )?(?:INTO )?({_NAME}) .*", False),
    (rf"INSERT (?:(?:LOW_PRIORITY|HIGH_PRIORITY|DELAYED|IGNORE) )*(?:INTO )?(?:TABLE )?({_NAME}) (?:SET|FORMAT) .*",
     False),
    (rf"LOAD (?:DATA|XML) (?:.* INTO TABLE|INTO(?: TABLE)?|OVERWRITE(?: TABLE)?) ({_NAME})(?: .*)?", False),
    (rf"BULK INSERT ({_NAME}) FROM .*", False),
    (rf"(?:OPTIMIZE(?: TABLE)?|MSCK REPAIR(?: TABLE)?|RESTORE TABLE|FLASHBACK TABLE) ({_NAME})(?: .*)?", False),
)]  # fmt: skip
_ALTER = re.compile(
    rf"ALTER (?:(?:FOREIGN|EXTERNAL|MATERIALIZED|DYNAMIC) )?(?:TABLE|VIEW) (?:IF EXISTS )?(?:ONLY )?({_NAME})( .*)",
    re.IGNORECASE,
)
# What ALTER names beside its table, and does to the rows rather than to their shape.
_RENAMED = re.compile(rf"\bRENAME (?:TO |AS )?({_NAME})(?= ,|$)", re.IGNORECASE)
_MOVED = re.compile(rf" SET SCHEMA ({_PART})", re.IGNORECASE)
_INVOLVED = re.compile(
    rf"\b(?:SWAP WITH|TO TABLE|WITH TABLE|APPEND FROM|INHERIT|SWITCH(?: PARTITION \S+)? TO|(?:AT|DE)TACH PARTITION)"
    rf" ({_NAME})", re.IGNORECASE,
)  # fmt: skip
_OF_ROWS = re.compile(
    r" (ON CLUSTER \S+ )?(DELETE |UPDATE |SWAP |SWITCH |APPEND |EXECUTE |(NO )?INHERIT |\w+ PARTITIONS?\b)",
    re.IGNORECASE,
)
# Only the session that makes them sees them.
_TEMPORARY = re.compile(
    rf"CREATE (?:LOCAL |GLOBAL )?(?:TEMP|TEMPORARY) TABLE (?:IF NOT EXISTS )?({_NAME}) .*", re.IGNORECASE
)
_RUNS = _set("SELECT WITH INSERT UPDATE DELETE MERGE REPLACE CREATE VALUES TABLE REFRESH EXECUTE CALL FROM")
# Words of MySQL and T-SQL that sqlglot takes for names.
_NO_NAMES = _set("DELETE UPDATE INSERT MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE LOW_PRIORITY QUICK IGNORE TOP")


def _write(sql: str, engine: str) -> Written:
    if engine == "kustokql":
        return _of_kusto(sql)
    tables: set[Table] = set()
    temporary: set[Table] = set()
    moved = schema_change = False
    for statement in _statements(sql, _dialect(engine) or Dialect.get_or_raise(None)):
        written = _of_statement(statement)
        if made := _TEMPORARY.fullmatch(statement.words):
            temporary.add(statement.name(made[1]))
        tables |= written.tables - temporary
        schema_change |= written.schema_change and not written.tables <= temporary
        moved |= statement.moves
        if statement.first == "DROP":
            temporary -= written.tables
    return Written(_settled(tables, moved, least=0), schema_change)


def _of_kusto(sql: str) -> Written:
    from superset.sql.parse import SQLScript

    if SQLScript(sql, "kustokql").has_mutation():
        raise _Unknown("kustokql")
    return Written(frozenset(), False)


def _of_statement(statement: _Statement) -> Written:
    if isinstance(statement.dialect, TSQL) and _is_several(statement):
        raise _Unknown("several statements")
    words = statement.words
    for pattern, schema_change in _TARGETS:
        if found := pattern.fullmatch(words):
            return Written(frozenset(statement.names(found[1])), schema_change)
    if altered := _ALTER.fullmatch(words):
        return _of_alter(statement, altered[1], altered[2])
    if statement.first == "EXPLAIN":
        return _of_explain(statement)
    if statement.is_harmless:
        return Written(frozenset(), False)
    return _of_tree(statement)


def _is_several(statement: _Statement) -> bool:
    words = [*(word.upper() for word in statement.words.split()), ""]
    starts = [
        word for before, word, after in zip(["", *words], words, words[1:], strict=False)
        if word in _TSQL_STARTS and before not in ("THEN", "ON", "OR", "BULK") and after not in ("COLUMN", "CONSTRAINT")
    ]  # fmt: skip
    return len(starts) > 1


def _of_alter(statement: _Statement, name: str, rest: str) -> Written:
    table = statement.name(name)
    tables = {table} | {statement.name(found[1]) for found in _INVOLVED.finditer(rest)}
    for found in _RENAMED.finditer(rest):
        # Without a schema it stays in its own, or comes into the session's, as the server likes.
        renamed = statement.name(found[1])
        tables |= {renamed, Table(renamed.schema or table.schema, renamed.name)}
    if moved := _MOVED.fullmatch(rest):
        tables.add(Table(statement.name(moved[1]).name, table.name))
    return Written(frozenset(tables), schema_change=not _OF_ROWS.match(rest))


def _of_explain(statement: _Statement) -> Written:
    """EXPLAIN writes nothing, unless it is told to run what it explains."""
    tokens = statement.tokens
    start = next((place for place, token in enumerate(tokens) if token.text.upper() in _RUNS), len(tokens))
    if not any(token.text.upper() == "ANALYZE" for token in tokens[:start]):
        return Written(frozenset(), False)
    if start == len(tokens):
        raise _Unknown("EXPLAIN ANALYZE")
    return _of_statement(_Statement.of(tokens[start:], statement.dialect, statement.source))


def _of_tree(statement: _Statement) -> Written:
    tree, dialect = statement.tree(), statement.dialect
    if not isinstance(tree, (*_QUERIES, exp.Create, exp.TruncateTable, exp.Copy)):
        raise _Unknown(tree.key)
    if any(not each.quoted and each.name.upper() in _NO_NAMES for each in tree.find_all(exp.Identifier)):
        raise _Unknown("a keyword as name")
    made: set[Table] = set()
    tables: set[Table] = set()
    for node in tree.find_all(exp.Create, exp.Into):
        made |= _made(node)
    for node in tree.find_all(*_CHANGING, exp.TruncateTable, exp.Copy, exp.Returning):
        if not isinstance(node.parent, exp.When):  # a part of MERGE
            tables |= _changed(node, dialect)
    return Written(frozenset(made | tables), schema_change=bool(made))


def _made(node: exp.Expression) -> set[Table]:
    """What CREATE or SELECT INTO makes.

    Raises:
        _Unknown: neither a table nor a view: a function may change what every query returns.
    """
    if isinstance(node, exp.Create) and node.kind == "INDEX":
        return set()
    if isinstance(node, exp.Create) and node.kind not in ("TABLE", "VIEW"):
        raise _Unknown(node.kind)
    return _named([node.this])


def _changed(node: exp.Expression, dialect: Dialect) -> set[Table]:
    """The tables whose rows a statement, or a part of one, changes.

    Raises:
        _Unknown: it cannot be told which.
    """
    if isinstance(node, exp.Returning):
        return _named([node.args["into"]]) if node.args.get("into") else set()
    if isinstance(node, exp.TruncateTable):
        if str(node.args.get("option") or "").upper() == "CASCADE":
            raise _Unknown("TRUNCATE")
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
    found = [by_name.get(_bare(each)) for each in named or own]
    unaliased = [each for each, source in zip(named or own, found, strict=True) if source is None or not source.alias]
    aims = [*unaliased, *(source for source in found if source is not None)]
    return aims if all(found) else aims + own  # T-SQL finds a target that its FROM clause does not have


def _bare(node: Any) -> str:
    return node.name.casefold() if isinstance(node, exp.Table) and not node.args.get("db") else ""


def _joined(node: Any) -> list[Any]:
    """The sources of a FROM clause, or of the like."""
    if isinstance(node, list):
        return [source for each in node for source in _joined(each)]
    if isinstance(node, (exp.From, exp.Join)):
        return _joined(node.this)
    return [] if node is None else [node, *_joined(node.args.get("joins") or [])]


def _named(nodes: Iterable[Any]) -> set[Table]:
    return {_table([part.name for part in _parts(node)]) for each in nodes for node in _targets(each)}


def _targets(node: Any) -> list[exp.Table]:
    """The tables that are written where this stands as the target; what is outside of the database is none.

    Raises:
        _Unknown: a function stands there, or something that is not understood.
    """
    target = node.this if isinstance(node, exp.Schema) else node
    if isinstance(target, exp.Identifier):
        return [exp.Table(this=target)]
    if isinstance(target, exp.Subquery):  # Oracle writes through it
        return list(target.find_all(exp.Table))
    if isinstance(target, (exp.Directory, exp.Parameter)):
        return []
    if not isinstance(target, exp.Table) or isinstance(target.this, exp.Func):
        raise _Unknown(str(target))
    session = isinstance(target.this, (exp.Parameter, exp.Var)) or target.this.args.get("temporary")
    return [] if session else [target]


def _through_ctes(node: exp.Expression, targets: list[Any], dialect: Dialect) -> set[Table]:
    """The tables of the targets; T-SQL writes through a CTE to what that reads."""
    with_ = node.args.get("with_")
    bodies = {cte.alias.casefold(): cte.this for cte in with_.expressions} if with_ else {}
    read = [_Walk(bodies[_bare(each)], dialect).sources() for each in targets if _bare(each) in bodies]
    return _named(targets).union(*read)
