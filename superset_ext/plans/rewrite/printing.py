"""Whether sqlglot prints a statement as it read it.

A rule prints what it has changed. Where sqlglot reads its own text as another tree, it does not know enough of the
statement. To find that out the printed text has to be parsed, which takes longer than all the rest; but a text of the
same tokens is read as the same tree. Charts' texts are mostly printed with the same tokens, which is seen without a
parser: by splitting both into words, strings and signs.
"""

from __future__ import annotations

import re
from collections import Counter

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokens import TokenType

from superset_ext.plans.rewrite.copying import copied

# Quoted text with what stands right before it, which may say how to read it (`E'…'`); words and numbers; signs that
# make one operator, if they stand together; any other sign.
_PIECE = re.compile(r"""[\w.]*'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w.]+|[<>=!|+*/%-]+|\S""")
# What may begin a comment or another kind of string, or an operator of which a space makes two.
_UNSURE = re.compile(r"""[^\w\s.,()'"<>=!|+*/%;-]|--|/\*|\*/""")
# What sqlglot prints as something else and reads as the same: DATE_PART is a double, EXTRACT a numeric; of LIKE as a
# function it turns the arguments around.
_UNLIKE = re.compile(r"\bdate_part\s*\(|\blike\s*\([^()]*,", re.IGNORECASE)
_KEPT = (TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER)
_WORDS = re.compile(r"\w+")
_TRUNCS = frozenset({"date_trunc", "datetrunc"})
_UNITS = frozenset(f"'{unit}'" for unit in (
    "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year",
))  # fmt: skip


def is_printed_as_read(tree: exp.Expression, sql: str, engine: str) -> bool:
    """Whether the tree's own text is read as the same tree.

    Args:
        sql: the text that the tree was read from.
    """
    printed = copied(tree).sql(dialect=engine, copy=False)
    if has_same_tokens(sql, printed):
        return True
    if _UNLIKE.search(sql) or not _keeps_all(sql, printed, engine):
        return False
    return sqlglot.parse_one(printed, dialect=engine) == tree


def _keeps_all(sql: str, printed: str, engine: str) -> bool:
    """Whether each constant and each quoted name is still there: of some functions sqlglot drops arguments, as the zone
    of DATE_TRUNC, and reads what it prints then as the same."""
    tokens = Dialect.get_or_raise(engine).tokenize(sql)
    kept = (token.text for token in tokens if token.token_type in _KEPT)
    return Counter(_WORDS.findall(" ".join(kept).lower())) <= Counter(_WORDS.findall(printed.lower()))


def has_same_tokens(one: str, other: str) -> bool:
    """Whether two texts surely have tokens that are read alike. Texts that have are not all found."""
    if "\\" in one:
        return False
    ours, theirs = _PIECE.findall(one), _PIECE.findall(other)
    if ours and ours[-1] == ";":
        ours.pop()
    plain = " ".join(piece for piece in ours if piece[-1] not in "'\"")
    if len(ours) != len(theirs) or _UNSURE.search(plain):
        return False
    places = (place for place, piece in enumerate(ours) if piece != theirs[place])
    return all(_is_alike(ours, theirs, place) for place in places)


def _is_alike(ours: list[str], theirs: list[str], place: int) -> bool:
    """Whether two pieces differ only by the case of a function's name, or of the unit of DATE_TRUNC."""
    one, other = ours[place], theirs[place]
    if one.lower() != other.lower() or not one.isascii():
        return False
    if one[-1] == "'":
        is_unit = place > 1 and ours[place - 1] == "(" and ours[place - 2].lower() in _TRUNCS
        return is_unit and one.lower() in _UNITS
    return one[-1] != '"' and "." not in one and ours[place + 1 : place + 2] == ["("]
