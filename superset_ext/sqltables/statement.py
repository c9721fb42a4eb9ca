"""The statements of a text as tokens, and what they are: a statement of the session, harmless, or a query.

The text is split and parsed as Superset does it, with sqlglot and Superset's map of engines.

sqlglot warns of a statement that it cannot parse by repeating it, a password in it included. Nothing is logged of what
this package parses. What Superset parses is logged as before, but without the text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.mysql import MySQL
from sqlglot.dialects.tsql import TSQL
from sqlglot.tokens import Token, TokenType

from superset_ext.sqltables.table import Table, Unknown, table_of

LIMIT_BYTES = 64 * 1024  # a list of 5,000 values takes 0.1 s to parse
MESSAGE = "sqlglot does not fully understand a statement (superset_ext leaves its text out, which may hold secrets)"
_silent: ContextVar[bool] = ContextVar("superset_ext_silent_parser", default=False)


class _WithoutText(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; its text is replaced."""
        record.msg, record.args, record.exc_info, record.exc_text = MESSAGE, (), None, None
        return not _silent.get()


# Here and not when the app is made: whoever parses with this package imports this module, commands and tests as well.
logging.getLogger("sqlglot").addFilter(_WithoutText())


@contextmanager
def silent_parser() -> Iterator[None]:
    """sqlglot logs nothing within the block, or within a function that is decorated with this."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def words_of(text: str) -> frozenset[str]:
    """The words of a text, for lists that read better as one."""
    return frozenset(text.split())


PART = r'(?:# )*(?:"\d+"|[\w$@]+)'
NAME = rf"{PART}(?:(?: [.-])+ {PART})*"
_CHANGES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|DROP|ALTER|CREATE|EXEC|EXECUTE|CALL|INTO|COPY|LOAD|RENAME"
    r"|REFRESH)\b", re.IGNORECASE,
)  # fmt: skip
_BEGIN = re.compile(
    r"(BEGIN|START)( (TRAN|TRANSACTION|WORK|DEFERRED|IMMEDIATE|EXCLUSIVE|CONCURRENT|ISOLATION|LEVEL|READ|WRITE|ONLY"
    r"|COMMITTED|UNCOMMITTED|REPEATABLE|SERIALIZABLE|SNAPSHOT|NOT|DEFERRABLE|WITH|CONSISTENT|,))*", re.IGNORECASE,
)  # fmt: skip
_SESSION = words_of(
    "SET RESET USE DECLARE COMMIT END ROLLBACK ABORT SAVEPOINT RELEASE DISCARD LISTEN UNLISTEN NOTIFY CHECKPOINT "
    "DEALLOCATE FETCH CLOSE PRINT GO PRAGMA KILL INSTALL"
)
# Beside those, statements that show or maintain something. A script whose rows come from one is not understood.
_HARMLESS = _SESSION | words_of(
    "VACUUM ANALYZE CLUSTER REINDEX UNLOCK CACHE UNCACHE EXPORT UNLOAD LIST LS SUMMARIZE CHECK CHECKSUM HELP"
)
_NEVER_CHANGES = words_of("SHOW DESCRIBE DESC GRANT REVOKE COMMENT LOCK SECURITY")
_BESIDE = re.compile(r"ALTER (SESSION|SYSTEM|INDEX) |DROP INDEX ", re.IGNORECASE)
_MOVES = re.compile(
    r"USE (?!WAREHOUSE )|(RESET|DISCARD)\b|(ALTER SESSION )?(UN)?SET( LOCAL| SESSION| GLOBAL)?"
    r'( "| .*(PATH|SCHEMA|CATALOG|DATABASE|ROLE|AUTH|MODE|QUOTED|USER))', re.IGNORECASE,
)  # fmt: skip
_CTE = re.compile(rf"\bWITH (?:RECURSIVE )?{PART} (?:\(|AS (?:\(|NOT\b|MATERIALIZED\b))", re.IGNORECASE)
_TABLE_STARTS = frozenset({"(", "UNION", "EXCEPT", "INTERSECT", "MINUS", "ALL", "DISTINCT", "AS"})


@dataclass(frozen=True)
class Statement:
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
    def of(cls, tokens: list[Token], dialect: Dialect, source: str) -> Statement:
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
        """Whether names without schema may mean other tables after it, or within it."""
        return _MOVES.match(self.words) is not None or "set_config" in self.calls

    @property
    def calls(self) -> frozenset[str]:
        """The names before a parenthesis, in lower case: those of all functions that it calls, and some others."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return frozenset(name.text.casefold() for name, after in pairs if after.token_type == TokenType.L_PAREN)

    def name(self, words: str) -> Table:
        """The table of a name in `words`."""
        parts = [""]
        for word in words.split():
            if word == ".":
                parts.append("")
            else:
                parts[-1] += self.tokens[int(word[1:-1])].text if word.startswith('"') else word
        return table_of(".".join(parts).split(".") if isinstance(self.dialect, BigQuery) else parts)

    def names(self, words: str) -> Iterator[Table]:
        """The tables of several names with commas, TO or AND between them."""
        for name in re.split(r" (?:,|TO|AND) ", words, flags=re.IGNORECASE):
            if not name.startswith("#"):  # a temporary table of T-SQL
                yield self.name(name)

    def tree(self) -> exp.Expression:
        """What sqlglot makes of it.

        Raises:
            Unknown: nothing that says what it reads and writes.
        """
        if self.is_command:
            raise Unknown(self.first)
        tokens = list(_with_selects(self.tokens))
        with silent_parser():
            (tree,) = self.dialect.parser().parse(tokens, self.source)
        if tree is None or self._is_short_of(tree, tokens):
            raise Unknown(self.first)
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


def statements(sql: str, dialect: Dialect) -> list[Statement]:
    """The statements of a text.

    Raises:
        Unknown: it is too long, or the server may read it otherwise than sqlglot does.
    """
    if len(sql) > LIMIT_BYTES or len(sql.encode(errors="replace")) > LIMIT_BYTES:
        raise Unknown("too long")
    # MySQL runs some comments, and takes `5--1` for a difference.
    if isinstance(dialect, MySQL) and re.search(r"/\*M?!|--(?![\s\x00-\x1f]|$)", sql):
        raise Unknown("comments")
    split: list[list[Token]] = [[]]
    for token in dialect.tokenize(sql):
        if token.token_type == TokenType.SEMICOLON:
            split.append([])
        else:
            split[-1].append(token)
    return [Statement.of(tokens, dialect, sql) for tokens in split if tokens]


def settled(tables: set[Table], moved: bool, least: int) -> frozenset[Table]:
    """The tables, where a name without schema still means what it meant at the beginning.

    Raises:
        Unknown: it may not, or there are fewer than `least`.
    """
    if len(tables) < least or (moved and not all(table.schema for table in tables)):
        raise Unknown
    return frozenset(tables)


def dialect_of(engine: str) -> Dialect | None:
    """sqlglot's dialect for one of Superset's engines, or `None` if there is none."""
    from superset.sql.parse import SQLGLOT_DIALECTS

    name = SQLGLOT_DIALECTS.get(engine)
    return None if name is None else Dialect.get_or_raise(name)
