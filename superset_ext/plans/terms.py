"""The conditions of a plan, term by term, and the columns in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from superset_ext.plans.tables import Table
from superset_ext.plans.tree import Node

_COLUMN = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_OPERATOR = r"(?P<operator><=|>=|<>|! ?~~\*?|~~\*?|! ?~\*?|~\*?|=|<|>|IS NOT NULL|IS NULL|LIKE|ILIKE)"
# A varchar is written as a text by a cast that costs nothing and hides no index; a number is not.
_CAST = r"(?P<cast>::(?:text|bpchar|VARCHAR|character varying))?"
_TEXTS = ("text", "character", "name", "citext")
_SIGNS = (" = ", " <> ", " <= ", " >= ", " < ", " > ", " ~~ ", " ~~* ", " !~~ ", " ! ~~ ")
EQUALITY = "="
RANGES = ("<", ">", "<=", ">=")


@dataclass(frozen=True, slots=True)
class Term:
    """One of the conditions that must all hold.

    Attributes:
        text: as the plan has it, without values.
        columns: of the node's table that are in it.
        operator: between a plain column and something else; `None` where the column is within an expression.
        is_or: whether it is an OR of several.
    """

    text: str
    columns: tuple[str, ...]
    operator: str | None
    is_or: bool

    @property
    def is_plain(self) -> bool:
        """Whether one plain column is compared."""
        return self.operator is not None and not self.is_or


def terms(node: Node, table: Table | None, *names: str) -> list[Term]:
    """The terms of a node's conditions of these names; `table` is what the node reads."""
    alias = node.alias or node.relation or ""
    return [_term(text, alias, table) for name in names for text in _split(node.conditions.get(name, ""), " AND ")]


def compared_expression(term: Term, alias: str) -> str | None:
    """The expression of one table that a term compares with something else, without the table's name.

    Returns:
        `None` where both sides have columns, or where that cannot be told.
    """
    bare = _without_parentheses(term.text)
    for sign in _SIGNS:
        sides = list(_split(bare, sign))
        if len(sides) == 2:
            named = [side for side in sides if columns_in(side, alias)]
            text = re.sub(rf'(?<![\w".])"?{re.escape(alias)}"?\.', "", _without_parentheses(named[0])) if named else ""
            return text if len(named) == 1 and "(" in text else None
    return None


def columns_in(text: str, alias: str) -> tuple[str, ...]:
    """The columns of one table in an expression, in order, each once."""
    names = re.findall(rf'(?<![\w".])"?{re.escape(alias)}"?\.({_COLUMN})', text)
    return tuple(dict.fromkeys(name.strip('"').replace('""', '"') for name in names))


def _term(text: str, alias: str, table: Table | None) -> Term:
    bare = _without_parentheses(text)
    is_or = len(list(_split(text, " OR "))) > 1
    prefix = rf'\(?"?{re.escape(alias)}"?\.{_COLUMN}\)?{_CAST}\s*{_OPERATOR}'
    plain = None if is_or else re.match(prefix, bare)
    columns = columns_in(text, alias)
    # A column that is compared with another one of its own table finds nothing in an index.
    is_free = plain is None or not plain["cast"] or _is_text(table, columns[0])
    operator = plain["operator"] if plain and len(columns) == 1 and is_free else None
    return Term(text, columns, operator, is_or)


def _is_text(table: Table | None, column: str) -> bool:
    known = table.columns.get(column) if table is not None else None
    return known is None or known.type.startswith(_TEXTS)


def _split(text: str, word: str) -> Iterator[str]:
    """The parts of a text between a word that stands in no parenthesis of it."""
    bare = _without_parentheses(text)
    depth, start, quoted = 0, 0, False
    for place, letter in enumerate(bare):
        quoted ^= letter == '"'
        if quoted:
            continue
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and bare.startswith(word, place):
            yield bare[start:place].strip()
            start = place + len(word)
    if rest := bare[start:].strip():
        yield rest


def _without_parentheses(text: str) -> str:
    """A text without the parentheses around the whole of it."""
    while text.startswith("(") and _closes_at(text) == len(text) - 1:
        text = text[1:-1]
    return text


def _closes_at(text: str) -> int:
    depth, quoted = 0, False
    for place, letter in enumerate(text):
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return -1
