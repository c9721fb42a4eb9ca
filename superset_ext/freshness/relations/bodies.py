"""What the text of a PL/pgSQL function writes, as far as that can be read from it.

Triggers mostly set columns of their own row, or write a line into another table. Both can be read. What builds its
statements itself, or runs anything but plain writes, cannot.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from superset_ext.sqltables.table import Table

ANY_SCHEMA = "*"  # of a name without one: which search path a trigger has is not known
_TEXTS = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
_NO_WRITES = re.compile(
    r"\b(?:FOR(?:\s+NO\s+KEY)?|DO|ON|OF|OR|BEFORE|AFTER)\s+(?:UPDATE|DELETE|INSERT|NOTHING)\b", re.IGNORECASE
)
_UNREADABLE = re.compile(
    r"\b(?:EXECUTE|PERFORM|CALL|COPY|DO|CREATE|DROP|ALTER|REFRESH|IMPORT|SET_CONFIG|SEARCH_PATH|LOAD|CLUSTER)\b",
    re.IGNORECASE,
)
_PART = r'(?:"[^"]+"|[^\W\d][\w$]*)'
_WRITES = re.compile(
    rf"\b(?:(?:INSERT|MERGE)\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?({_PART}(?:\s*\.\s*{_PART})*)",
    re.IGNORECASE,
)
_VERBS = re.compile(r"\b(?:INSERT|MERGE|UPDATE|DELETE|TRUNCATE)\b", re.IGNORECASE)
_CALLS = re.compile(rf"({_PART})\s*\(")
_INTO = re.compile(r"\bINTO\b", re.IGNORECASE)


class Body(NamedTuple):
    """What a function writes and calls.

    Attributes:
        tables: that it writes.
        calls: names that may be those of functions that it calls, in lower case.
    """

    tables: frozenset[Table]
    calls: frozenset[str]


def read_body(text: str) -> Body:
    """What a function of PL/pgSQL does, by its text.

    Raises:
        LookupError: it does something else than plain writes.
    """
    code = _NO_WRITES.sub(" ", _TEXTS.sub(" ' ", text))
    writes = _WRITES.findall(code)
    if _UNREADABLE.search(code) or len(writes) != len(_VERBS.findall(code)):
        raise LookupError("it cannot be read what it writes")
    return Body(frozenset(map(_table, writes)), frozenset(_folded(name) for name in _CALLS.findall(code)))


def _table(name: str) -> Table:
    parts = [_folded(part) for part in re.findall(_PART, name)]
    schema, table = [ANY_SCHEMA, *parts][-2:]
    return Table(schema, table)


def _folded(name: str) -> str:
    return name.strip('"').casefold()
