"""Which words of a query are labels of its columns. A label is a value: people type it, or Superset derives it.

The label of an ad-hoc column is its expression, with the literals in it; a long one is a hash of that. So two queries
that differ in a literal would differ in a word that looks like a name. A label is known by where it is declared: after
AS, or after the end of an expression. Wherever else the same word stands, it is the same label. Names of tables, and
what they are called within FROM, are no labels.

A label that repeats a column of its own expression, as in `DATE_TRUNC('day', ds) AS ds`, is the name of a column, and a
single letter holds no secret; both are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.tsql import TSQL
from sqlglot.tokens import Token, TokenType

from superset_ext.sqltables.statement import words_of

_WORDS = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
# After one of these stand names of tables, until another clause begins.
_TABLES = frozenset(
    {TokenType.FROM, TokenType.JOIN, TokenType.INTO, TokenType.UPDATE, TokenType.TABLE, TokenType.USING}
)
_CLAUSES = frozenset(
    {
        TokenType.SELECT, TokenType.WHERE, TokenType.GROUP_BY, TokenType.ORDER_BY, TokenType.HAVING, TokenType.QUALIFY,
        TokenType.LIMIT, TokenType.ON, TokenType.LATERAL, TokenType.PIVOT, TokenType.UNPIVOT, TokenType.SEMICOLON,
        TokenType.SET,
    }
)  # fmt: skip
_BOUNDS = _TABLES | _CLAUSES | {TokenType.COMMA}
# An expression may end with one of these.
_ENDS = _WORDS | {
    TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.STRING, TokenType.NUMBER, TokenType.END, TokenType.NULL,
    TokenType.TRUE, TokenType.FALSE,
}  # fmt: skip
# What follows AS is no label then, but a query, or the body of something.
_BODIES = frozenset({TokenType.L_PAREN, TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.NOT})
_SNAPSHOTS = frozenset({TokenType.TIMESTAMP_SNAPSHOT, TokenType.VERSION_SNAPSHOT})
_CASTS = words_of("CAST TRY_CAST SAFE_CAST XMLSERIALIZE TREAT CONVERT")
# Words of SQL that sqlglot takes for names, and that may stand after an expression.
_GRAMMAR = words_of(
    "NULLS LAST FIRST ONLY ROWS PRECEDING FOLLOWING UNBOUNDED AT ZONE TIES PERCENT RESPECT IGNORE SEPARATOR WITHOUT "
    "MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR MICROSECONDS MILLISECONDS SECONDS MINUTES "
    "HOURS DAYS WEEKS MONTHS QUARTERS YEARS TO KEEP SKIP LOCKED NOWAIT VARYING PRECISION WITHIN OVERLAPS SIMILAR"
)
_ASSIGNED: dict[type, TokenType] = {TSQL: TokenType.EQ, DuckDB: TokenType.COLON}
_LOOKED_BACK = 200  # tokens of an expression in which its label is looked for


@dataclass(slots=True)
class _Within:
    """What a parenthesis holds, as far as it has been read.

    Attributes:
        in_tables: names of tables stand here.
        is_cast: it is the argument of a cast, in which AS stands before a type.
        selects: a SELECT stands in it, so that FROM is the clause and not a word of a function.
    """

    in_tables: bool = False
    is_cast: bool = False
    selects: bool = False

    def go_on(self, kind: TokenType, before: TokenType | None) -> None:
        """Read one more token."""
        self.selects |= kind is TokenType.SELECT
        if kind is TokenType.FROM:
            self.in_tables = self.selects and before is not TokenType.DISTINCT  # a IS DISTINCT FROM b
        elif kind in _TABLES:
            self.in_tables = True
        elif kind in _CLAUSES:
            self.in_tables = False


class Labels:
    """The labels in a text.

    Args:
        tokens: all of the text.
        dialect: how they were split; `None` if that is not known.
    """

    def __init__(self, tokens: Sequence[Token], dialect: Dialect | None) -> None:
        self._tokens = tokens
        self._dialect = dialect
        self._types: set[int] = set()
        self._tables: set[int] = set()
        self._places = set(self._declared())
        self._names = {_name(tokens[place]) for place in self._places}
        self._numbers: dict[str, int] = {}

    def label(self, place: int) -> str | None:
        """What a token is replaced by, as `label1`, if it is a label; the same label always by the same word."""
        token, name = self._tokens[place], _name(self._tokens[place])
        if name not in self._names or place in self._types or not self._is_label(place, token):
            return None
        return f"label{self._numbers.setdefault(name, len(self._numbers) + 1)}"

    def is_table(self, place: int) -> bool:
        """Whether a token is part of the name of a table in FROM."""
        return place in self._tables

    def _is_label(self, place: int, token: Token) -> bool:
        if place in self._tables:
            return False
        if place in self._places or token.token_type is TokenType.IDENTIFIER:
            return True
        follows = self._kind(place + 1)
        is_call = follows is TokenType.L_PAREN and self._kind(place - 1) is not TokenType.ALIAS
        return token.token_type is TokenType.VAR and not is_call

    def _kind(self, place: int) -> TokenType | None:
        return self._tokens[place].token_type if 0 <= place < len(self._tokens) else None

    def _declared(self) -> Iterator[int]:
        """The places at which labels are declared. Places of tables and of types are noted on the way."""
        is_query = False
        within, outside = _Within(), []
        for place, token in enumerate(self._tokens):
            kind = token.token_type
            if kind is TokenType.L_PAREN:
                outside.append(within)
                within = _Within(within.in_tables, place > 0 and self._tokens[place - 1].text.upper() in _CASTS)
            elif kind is TokenType.R_PAREN and outside:
                within = outside.pop()
            within.go_on(kind, self._kind(place - 1))
            is_query = kind in (TokenType.SELECT, TokenType.WITH) or (is_query and kind is not TokenType.SEMICOLON)
            if within.in_tables and self._names_table(place):
                self._tables.add(place)
            elif within.is_cast and self._kind(place - 1) is TokenType.ALIAS:
                self._types.add(place)
            elif is_query:
                yield from self._declared_at(place, within.in_tables)

    def _names_table(self, place: int) -> bool:
        before = self._kind(place - 1)
        return before in _TABLES or (before is TokenType.DOT and place - 2 in self._tables)

    def _declared_at(self, place: int, in_tables: bool) -> Iterator[int]:
        if self._has_columns(place):
            yield from self._columns(place + 1)
        elif not in_tables and self._ends_expression(place) and not self._is_a_column(place):
            yield place

    def _ends_expression(self, place: int) -> bool:
        """Whether a token is what an expression is called."""
        token, before = self._tokens[place], self._kind(place - 1)
        if before is TokenType.ALIAS:
            return self._is_after_expression(place)
        if token.token_type not in _WORDS or token.text.upper() in _GRAMMAR:
            return False
        if before in _ENDS:
            return self._kind(place + 1) is not TokenType.L_PAREN and not self._is_unit(place)
        return self._is_assigned(place)

    def _is_after_expression(self, place: int) -> bool:
        """Whether the AS before a token follows an expression, and begins no query or body."""
        if self._kind(place) in _BODIES or self._kind(place - 2) in _SNAPSHOTS:
            return False
        is_struct = self._kind(place - 2) in (TokenType.SELECT, TokenType.DISTINCT, TokenType.ALL)
        is_body = self._tokens[place].text.upper() == "MATERIALIZED" and self._kind(place + 1) is TokenType.L_PAREN
        return not is_struct and not is_body

    def _is_unit(self, place: int) -> bool:
        """Whether a token is the word after a prefix, as in `NULLS LAST` and `_utf8 'x'`."""
        return self._tokens[place - 1].text.upper() in _GRAMMAR and self._kind(place - 1) is TokenType.VAR

    def _is_assigned(self, place: int) -> bool:
        """Whether the label stands before its expression: `x = 1` in T-SQL, `x: 1` in DuckDB."""
        sign = _ASSIGNED.get(type(self._dialect))
        return (
            sign is not None
            and self._kind(place + 1) is sign
            and self._kind(place - 1) in (TokenType.SELECT, TokenType.COMMA)
        )

    def _has_columns(self, place: int) -> bool:
        """Whether a list of column names follows: `AS t(a, b)`, or `WITH t(a, b) AS (`."""
        if self._kind(place) not in _WORDS or self._kind(place + 1) is not TokenType.L_PAREN:
            return False
        return self._kind(place - 1) is TokenType.ALIAS or self._is_with(place)

    def _is_with(self, place: int) -> bool:
        if self._kind(place - 1) not in (TokenType.WITH, TokenType.RECURSIVE, TokenType.COMMA):
            return False
        end = place + 1 + len(list(self._inside(place + 1)))
        return self._kind(end + 2) is TokenType.ALIAS and self._kind(end + 3) is TokenType.L_PAREN

    def _inside(self, opened: int) -> Iterator[int]:
        """The places within a parenthesis that holds no other one, as far as labels are looked for."""
        for place in range(opened + 1, min(opened + _LOOKED_BACK, len(self._tokens))):
            if self._kind(place) in (TokenType.R_PAREN, TokenType.L_PAREN):
                return
            yield place

    def _columns(self, opened: int) -> Iterator[int]:
        for place in self._inside(opened):
            if self._kind(place - 1) in (TokenType.L_PAREN, TokenType.COMMA) and len(self._tokens[place].text) > 1:
                yield place

    def _is_a_column(self, place: int) -> bool:
        """Whether a label says no more than the expression before it, or is a single letter."""
        name = _name(self._tokens[place])
        if len(name) == 1 and name.isalpha():
            return True
        depth = 0
        for earlier in range(place - 1, max(-1, place - _LOOKED_BACK), -1):
            kind = self._kind(earlier)
            depth += (kind is TokenType.R_PAREN) - (kind is TokenType.L_PAREN)
            if depth < 0 or (depth == 0 and kind in _BOUNDS):
                return False
            is_call = self._kind(earlier + 1) is TokenType.L_PAREN
            if kind in _WORDS and not is_call and _name(self._tokens[earlier]) == name:
                return True
        return False


def _name(token: Token) -> str:
    return token.text.casefold()
