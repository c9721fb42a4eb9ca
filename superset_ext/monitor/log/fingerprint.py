"""SQL without its values: what makes two queries the same, and what of a query may be kept.

A value may be a secret, so nothing is kept that could be one. The text is split into tokens by sqlglot, in the dialect
of its source, and every literal becomes a question mark; lists of them become one, comments go. It is not parsed:
splitting is three times as fast, and takes what no parser of one dialect does. Where a double-quoted word may be a
string (SQLite, SQL Server with `QUOTED_IDENTIFIER OFF`, templates, engines that sqlglot does not know), it is kept
only where a name must stand.

Text that cannot be split, or in which it is not sure where a string ends, loses everything between its first and its
last quote.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.oracle import Oracle
from sqlglot.dialects.sqlite import SQLite
from sqlglot.dialects.tsql import TSQL
from sqlglot.tokens import Token, TokenType

from superset_ext.sqltables.statement import dialect_of

MAX_TEXT = 10_000  # characters of a statement that are kept
SPLIT_TEXT = 64 * 1024  # characters above which text is not split into tokens, which takes 0.1 s for so many
_LONG = 2 * 1024  # characters from which lists of values are shortened first
_REMEMBERED = 1_000

VALUE = "?"
_LITERALS = frozenset(
    {
        TokenType.STRING, TokenType.NUMBER, TokenType.BIT_STRING, TokenType.HEX_STRING, TokenType.BYTE_STRING,
        TokenType.NATIONAL_STRING, TokenType.RAW_STRING, TokenType.HEREDOC_STRING, TokenType.UNICODE_STRING,
    }
)  # fmt: skip
_SIGNS = frozenset({TokenType.DASH, TokenType.PLUS})
# After one of these a sign is part of a number.
_BEFORE_SIGN = frozenset(
    {
        TokenType.L_PAREN, TokenType.COMMA, TokenType.EQ, TokenType.NEQ, TokenType.GT, TokenType.GTE, TokenType.LT,
        TokenType.LTE, TokenType.BETWEEN, TokenType.AND, TokenType.OR, TokenType.THEN, TokenType.ELSE, TokenType.SELECT,
    }
)  # fmt: skip
# Before a name that cannot be a string.
_NAMES = frozenset(
    {TokenType.ALIAS, TokenType.FROM, TokenType.JOIN, TokenType.TABLE, TokenType.INTO, TokenType.UPDATE, TokenType.DOT}
)
_NO_SPACE_BEFORE = frozenset(
    {TokenType.COMMA, TokenType.R_PAREN, TokenType.DOT, TokenType.SEMICOLON, TokenType.DCOLON, TokenType.R_BRACKET}
)
_NO_SPACE_AFTER = frozenset({TokenType.L_PAREN, TokenType.DOT, TokenType.DCOLON, TokenType.L_BRACKET})
_LOOSE = (SQLite, TSQL)

_TEMPLATE = re.compile(r"\{[{%#]")
# Possessive, and begun where a run of quotes begins: whatever was typed, each character is looked at a few times.
_STRING = r"(?<!')'(?:[^'\\]|'')*+'"
_STRINGS = re.compile(rf"{_STRING}(?:\s*,\s*{_STRING})++")
_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*,\s*{_NUMBER})+")
_RUN = re.compile(r"\?(?:,? \?)+")
_ROWS = re.compile(r"\(\?\)(?:, \(\?\))+")
# Where the dialect is not known, so is not whether a backslash ends a string, or dollars begin one.
_UNSURE = re.compile(r"\\['\"]|\$\w*\$|`")
_OWN_QUOTES = re.compile(r"\b[nN]?[qQ]'")  # Oracle's q'[…]', which sqlglot does not know
_QUOTE = r"(?:['\"`]|\$\w*\$)"
_QUOTED = re.compile(rf"{_QUOTE}.*{_QUOTE}|{_QUOTE}.*", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|#[^\n]*|/\*.*?(?:\*/|$)", re.DOTALL)
_DIGITS = re.compile(r"(?<!\w)[+-]?\.?\d[\w.]*|(?<!\w)0[xX]\w+")
_PASSWORD = re.compile(r"\b(IDENTIFIED BY) \S+", re.IGNORECASE)  # which Oracle takes without quotes
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is kept of a query's text.

    Attributes:
        fingerprint: hash of the database and the statement, 32 hex digits.
        text: the statement without its values, at most `MAX_TEXT` characters.
    """

    fingerprint: str
    text: str


class Statements:
    """Statements of queries, the last of them remembered: a dashboard asks the same all day. For one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Statement] = OrderedDict()

    def of(self, sql: str, engine: str, database_id: int | None) -> Statement:
        """The statement of a query.

        Args:
            sql: one or several statements.
            engine: SQLAlchemy's name of the engine, as in the URL of the source.
            database_id: Superset's.
        """
        key = sha256(f"{database_id}\n{engine}\n{sql}".encode(errors="surrogatepass")).digest()
        found = self._known.pop(key, None) or _statement(sql, engine, database_id)
        self._known[key] = found
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def _statement(sql: str, engine: str, database_id: int | None) -> Statement:
    text = normalised(sql, engine)
    name = sha256(f"{database_id}\n{text}".encode()).hexdigest()[:32]
    return Statement(name, text[:MAX_TEXT])


def normalised(sql: str, engine: str) -> str:
    """SQL without values and comments, in one line.

    Args:
        sql: one or several statements, a template too.
        engine: see `Statements.of`; any other name is of an engine that nobody knows.
    """
    # What no text column takes.
    clean = sql.replace("\0", " ").encode(errors="replace").decode()
    try:
        text = _split(_shortened(clean), engine)
    except Exception:  # noqa: BLE001  (a tokenizer may raise anything over what somebody typed)
        text = _stripped(clean)
    return _PASSWORD.sub(rf"\1 {VALUE}", _ROWS.sub(f"({VALUE})", _RUN.sub(VALUE, text)))


class _Unsure(Exception):
    """Splitting takes too long, or could take a value for a name."""


def _shortened(sql: str) -> str:
    """Long lists of plain values as one of them: the number of quotes stays even, and so what is within them."""
    return sql if len(sql) < _LONG else _NUMBERS.sub("0", _STRINGS.sub("''", sql))


def _split(sql: str, engine: str) -> str:
    dialect, strict = _dialect(engine)
    unsure = _UNSURE if dialect is None else _OWN_QUOTES if isinstance(dialect, Oracle) else None
    if len(sql) > SPLIT_TEXT or (unsure is not None and unsure.search(sql)):
        raise _Unsure
    tokens = (dialect or Dialect()).tokenize(sql)
    loose = not strict or _TEMPLATE.search(sql) is not None
    reserved = frozenset(TokenType) - (dialect or Dialect()).parser_class.ID_VAR_TOKENS
    return "".join(_words(sql, tokens, loose, reserved))


def _dialect(engine: str) -> tuple[Dialect | None, bool]:
    """The dialect of an engine, and whether double quotes are only for names in it."""
    dialect = dialect_of(engine)
    return dialect, dialect is not None and type(dialect) is not Dialect and not isinstance(dialect, _LOOSE)


def _words(sql: str, tokens: Sequence[Token], loose: bool, reserved: frozenset[TokenType]) -> Iterator[str]:
    """The tokens as text, with the spaces between them."""
    before: Token | None = None
    for place, token in enumerate(tokens):
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        if _is_left_out(before, token, after):
            continue
        if before is not None and _is_apart(before, token):
            yield " "
        yield _word(sql, before, token, after, loose, reserved)
        before = token


def _is_left_out(before: Token | None, token: Token, after: Token | None) -> bool:
    """Whether a token is the sign of a number, or the rest of one, as in `1_000`."""
    if token.token_type in _SIGNS:
        is_first = before is None or before.token_type in _BEFORE_SIGN
        return is_first and after is not None and after.token_type is TokenType.NUMBER
    return (
        token.token_type is TokenType.VAR
        and before is not None
        and before.token_type is TokenType.NUMBER
        and token.start == before.end + 1
    )


def _is_apart(before: Token, token: Token) -> bool:
    if token.token_type is TokenType.L_PAREN:
        return before.token_type is not TokenType.VAR and before.token_type not in _NO_SPACE_AFTER
    return token.token_type not in _NO_SPACE_BEFORE and before.token_type not in _NO_SPACE_AFTER


def _word(
    sql: str, before: Token | None, token: Token, after: Token | None, loose: bool, reserved: frozenset[TokenType]
) -> str:
    kind = token.token_type
    if kind in _LITERALS or (kind is TokenType.VAR and token.text[:1].isdigit()):
        return VALUE
    if kind is not TokenType.IDENTIFIER:
        return token.text.upper() if kind in reserved and kind is not TokenType.VAR else token.text
    written = sql[token.start : token.end + 1]
    if loose and written.startswith('"') and not _is_name(before, after):
        return VALUE
    return _SPACE.sub(" ", written)


def _is_name(before: Token | None, after: Token | None) -> bool:
    is_part = after is not None and after.token_type is TokenType.DOT
    return is_part or (before is not None and before.token_type in _NAMES)


def _stripped(sql: str) -> str:
    """SQL that is not understood: nothing between the first and the last quote, no comment, no number."""
    bare = _COMMENT.sub(" ", _QUOTED.sub(f" {VALUE} ", sql))
    return _SPACE.sub(" ", _DIGITS.sub(VALUE, bare)).strip()
