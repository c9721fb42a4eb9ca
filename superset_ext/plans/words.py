"""The texts of a plan without their values.

A plan repeats the values of its query: in filters, index conditions, sort keys, and in what it calls things. They are
replaced as in the query log (`monitor.log.fingerprint`), by the same words: each value by a question mark, each label
of a column by the word that it has in the statement. What cannot be split into words surely is left out as a whole.
"""

from __future__ import annotations

import re

from superset_ext.monitor.log.fingerprint import SPLIT_TEXT, VALUE, normalised
from superset_ext.monitor.log.labels import Labels
from superset_ext.sqltables.statement import dialect_of

_WORD = re.compile(r'"(?:[^"]|"")+"|[^\W\d][\w$]*(?!\s*\()')


class Words:
    """Removes values from the texts of one query's plan.

    Args:
        sql: the query, as it was sent.
        engine: SQLAlchemy's name of the source's engine.
    """

    def __init__(self, sql: str, engine: str) -> None:
        self._engine = engine
        self._labels = _labels(sql, engine)

    def expression(self, text: str) -> str:
        """An expression without its values."""
        if self._labels is None:
            return VALUE
        return _WORD.sub(self._word, normalised(text, self._engine))

    def name(self, text: str) -> str:
        """What a query calls a table or a part of itself; a question mark where that says more than a name."""
        if self._labels is None:
            return VALUE
        if (label := self._labels.get(text.casefold())) is not None:
            return label
        plain = normalised('"' + text.replace('"', '""') + '"', self._engine)
        return plain[1:-1].replace('""', '"')

    def _word(self, match: re.Match[str]) -> str:
        word = match[0]
        plain = word[1:-1].replace('""', '"') if word.startswith('"') else word
        return (self._labels or {}).get(plain.casefold(), word)


def _labels(sql: str, engine: str) -> dict[str, str] | None:
    """The labels of a query's columns, and what the log calls them; `None` if that is not known."""
    dialect = dialect_of(engine)
    if dialect is None or len(sql) > SPLIT_TEXT:
        return None
    try:
        tokens = dialect.tokenize(sql)
    except Exception:  # noqa: BLE001  (a tokenizer may raise anything over text that somebody typed)
        return None
    labels = Labels(tokens, dialect)
    named = ((token.text.casefold(), labels.label(place)) for place, token in enumerate(tokens))
    return {name: label for name, label in named if label is not None}
