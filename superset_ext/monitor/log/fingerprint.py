"""SQL without its values: it makes two queries the same, and it is all of a query that is kept.

A value may be a secret, so nothing is kept that could be one. sqlglot splits the text into tokens in the dialect of its
source. Every literal becomes a question mark, a list of literals becomes one, and comments and hints are removed. So do
paths within JSON and names of parameters. Labels of columns become `label1` and so on (`labels.py`), and a quoted name
that says more than a name, as the expression that it was once computed by, becomes a question mark in quotes. The text
is not parsed: splitting is three times as fast, and accepts text that a parser would not. Where a double-quoted word
may be a string (SQLite, SQL Server with `QUOTED_IDENTIFIER OFF`, templates, engines that sqlglot does not know), it is
kept only in the place of a name.

Text that cannot be split, or in which the end of a string is not certain, loses everything between its first and its
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

from superset_ext.monitor.log.labels import Labels
from superset_ext.sqltables.statement import dialect_of, words_of

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
# A sign after one of these is part of a number.
_BEFORE_SIGN = frozenset(
    {
        TokenType.L_PAREN, TokenType.COMMA, TokenType.EQ, TokenType.NEQ, TokenType.GT, TokenType.GTE, TokenType.LT,
        TokenType.LTE, TokenType.BETWEEN, TokenType.AND, TokenType.OR, TokenType.THEN, TokenType.ELSE, TokenType.SELECT,
    }
)  # fmt: skip
# What follows one of these is a name and cannot be a string.
_NAMES = frozenset(
    {TokenType.ALIAS, TokenType.FROM, TokenType.JOIN, TokenType.TABLE, TokenType.INTO, TokenType.UPDATE, TokenType.DOT}
)
_WORDS = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
_OPEN_PATHS = frozenset({TokenType.COLON, TokenType.PARAMETER, TokenType.SESSION_PARAMETER})
_PATHS = frozenset({TokenType.DOT, TokenType.SLASH, TokenType.DASH})
_NO_SPACE_BEFORE = frozenset(
    {TokenType.COMMA, TokenType.R_PAREN, TokenType.DOT, TokenType.SEMICOLON, TokenType.DCOLON, TokenType.R_BRACKET}
)
_NO_SPACE_AFTER = frozenset({TokenType.L_PAREN, TokenType.DOT, TokenType.DCOLON, TokenType.L_BRACKET})
_LOOSE = (SQLite, TSQL)

_TEMPLATE = re.compile(r"\{[{%#]")


def _at_once(name: str, pattern: str) -> str:
    """A part of a pattern that gives nothing back once it has matched: `(?>…)`, which Python has since 3.11."""
    return rf"(?=(?P<{name}>{pattern}))(?P={name})"


def _string(name: str) -> str:
    """A pattern for a string, matched only from the start of a run of quotes, so that any text takes linear time."""
    return "(?<!')'" + _at_once(name, r"(?:[^'\\]|'')*") + "'"


_STRINGS = re.compile(_at_once("all", rf"{_string('first')}(?:\s*,\s*{_string('more')})+"))
_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*,\s*{_NUMBER})+")
_RUN = re.compile(r"\?(?:,? \?)+")
_ROWS = re.compile(r"\(\?\)(?:, \(\?\))+")
# In an unknown dialect, a backslash may or may not escape a quote, and dollars may or may not quote.
_UNSURE = re.compile(r"\\['\"]|\$\w*\$|`")
_OWN_QUOTES = re.compile(r"\b[nN]?[qQ]'")  # Oracle's q'[…]', which sqlglot does not know
_QUOTE = r"(?:['\"`]|\$\w*\$)"
_QUOTED = re.compile(rf"{_QUOTE}.*{_QUOTE}|{_QUOTE}.*", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|#[^\n]*|/\*.*?(?:\*/|$)", re.DOTALL)
_DIGITS = re.compile(r"(?<!\w)[+-]?\.?\d[\w.]*|(?<!\w)0[xX]\w+")
# What a quoted name holds that was made of an expression: quotes, comparisons, numbers of their own.
_QUOTES_OR_SIGNS = re.compile(r"['\"`<>=!~]")
_APART = re.compile(r"(?<!\w)\d")
_AS = re.compile(r"\bAS\s+([^\W\d][\w$]+)", re.IGNORECASE)
_PASSWORD = re.compile(r"\b(IDENTIFIED BY) \S+", re.IGNORECASE)  # which Oracle takes without quotes
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A query's text without its values.

    Attributes:
        fingerprint: hash of the database and the statement, 32 hex digits.
        text: the statement without its values, at most `MAX_TEXT` characters.
    """

    fingerprint: str
    text: str


class Statements:
    """The statements of queries. The latest are remembered, since a dashboard asks the same all day. For one thread."""

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
        statement = self._known.pop(key, None) or _statement(sql, engine, database_id)
        self._known[key] = statement
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return statement


def _statement(sql: str, engine: str, database_id: int | None) -> Statement:
    text = normalised(sql, engine)
    name = sha256(f"{database_id}\n{text}".encode()).hexdigest()[:32]
    return Statement(name, text[:MAX_TEXT])


def normalised(sql: str, engine: str) -> str:
    """SQL without values and comments, in one line.

    Args:
        sql: one or several statements, a template too.
        engine: see `Statements.of`; any name may be given.
    """
    # No text column can hold these characters.
    clean = sql.replace("\0", " ").encode(errors="replace").decode()
    try:
        text = _split(_shortened(clean), engine)
    except Exception:  # noqa: BLE001  (a tokenizer may raise anything over text that somebody typed)
        text = _stripped(clean)
    return _PASSWORD.sub(rf"\1 {VALUE}", _ROWS.sub(f"({VALUE})", _RUN.sub(VALUE, text)))


_STARTS = words_of("select with values materialized not")


class _Unsure(Exception):
    """Splitting would take too long, or could take a value for a name."""


def _shortened(sql: str) -> str:
    """SQL with long lists of plain values replaced by one value; quotes stay in pairs."""
    return sql if len(sql) < _LONG else _NUMBERS.sub("0", _STRINGS.sub("''", sql))


def _split(sql: str, engine: str) -> str:
    dialect, strict = _dialect(engine)
    unsure = _UNSURE if dialect is None else _OWN_QUOTES if isinstance(dialect, Oracle) else None
    if len(sql) > SPLIT_TEXT or (unsure is not None and unsure.search(sql)):
        raise _Unsure
    tokens = (dialect or Dialect()).tokenize(sql)
    loose = not strict or _TEMPLATE.search(sql) is not None
    reserved = frozenset(TokenType) - (dialect or Dialect()).parser_class.ID_VAR_TOKENS
    return "".join(_words(_Text(sql, tokens, Labels(tokens, dialect), loose, reserved)))


@dataclass(frozen=True, slots=True)
class _Text:
    """A text and what its words are.

    Attributes:
        loose: a double-quoted word may be a string.
        reserved: kinds of tokens that are words of the language.
    """

    sql: str
    tokens: Sequence[Token]
    labels: Labels
    loose: bool
    reserved: frozenset[TokenType]


def _dialect(engine: str) -> tuple[Dialect | None, bool]:
    """The dialect of an engine, and whether its double quotes always enclose names."""
    dialect = dialect_of(engine)
    return dialect, dialect is not None and type(dialect) is not Dialect and not isinstance(dialect, _LOOSE)


def _words(text: _Text) -> Iterator[str]:
    """The tokens as text, with the spaces between them."""
    before: Token | None = None
    within = False
    for place, token in enumerate(text.tokens):
        after = text.tokens[place + 1] if place + 1 < len(text.tokens) else None
        within = before is not None and _is_within(before, token, within)
        if _is_left_out(before, token, after):
            continue
        if before is not None and _is_apart(before, token):
            yield " "
        yield VALUE if within and token.token_type in _WORDS else _word(text, place, before, after)
        before = token


def _is_within(before: Token, token: Token, within: bool) -> bool:
    """Whether a token belongs to a path within JSON (`a:b.c`), or to the name of a parameter or file (`@a/b.c`)."""
    if before.token_type in _OPEN_PATHS:
        return True
    return within and token.start == before.end + 1 and (token.token_type in _PATHS or before.token_type in _PATHS)


def _is_left_out(before: Token | None, token: Token, after: Token | None) -> bool:
    """Whether a token is a hint, the sign of a number, or the rest of one, as in `1_000`."""
    if token.token_type is TokenType.HINT:
        return True
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


def _word(text: _Text, place: int, before: Token | None, after: Token | None) -> str:
    token = text.tokens[place]
    kind = token.token_type
    if kind in _LITERALS or (kind is TokenType.VAR and token.text[:1].isdigit()):
        return VALUE
    if (label := text.labels.label(place)) is not None:
        return label
    if kind is not TokenType.IDENTIFIER:
        return token.text.upper() if kind in text.reserved and kind is not TokenType.VAR else token.text
    name = text.sql[token.start : token.end + 1]
    if text.loose and name.startswith('"') and not _is_name(before, after):
        return VALUE
    is_plain = _is_plain(token.text, text.labels.is_table(place))
    return _SPACE.sub(" ", name) if is_plain else f"{name[0]}{VALUE}{name[-1]}"


def _is_plain(name: str, is_table: bool) -> bool:
    """Whether a quoted word is no more than a name. A number by itself is part of one only in the name of a table."""
    return _QUOTES_OR_SIGNS.search(name) is None and (is_table or _APART.search(name) is None)


def _is_name(before: Token | None, after: Token | None) -> bool:
    is_part = after is not None and after.token_type is TokenType.DOT
    return is_part or (before is not None and before.token_type in _NAMES)


def _stripped(sql: str) -> str:
    """SQL that cannot be split, without comments, numbers, and anything between its first and its last quote."""
    bare = _COMMENT.sub(" ", _QUOTED.sub(f" {VALUE} ", sql))
    labels = {name.casefold() for name in _AS.findall(bare)} - _STARTS
    named = re.sub(r"[^\W\d][\w$]+", lambda word: VALUE if word[0].casefold() in labels else word[0], bare)
    return _SPACE.sub(" ", _DIGITS.sub(VALUE, named)).strip()
