"""Which texts are worth parsing: a rule can only apply where its words stand."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = {
    "unneeded_order": (r"ORDER\s+BY", r"\(\s*(?:SELECT|WITH)\b"),
    "moment_as_constant": (r"\bTO_(?:TIMESTAMP|DATE)\s*\(",),
    "extract_range": (r"\bEXTRACT\s*\(|\bDATE_TRUNC\s*\(|\bAS\s+DATE\b|::\s*DATE\b",),
    "integer_as_text": (r"\bAS\s+(?:TEXT|VARCHAR)\b|::\s*(?:TEXT|VARCHAR)\b",),
    "integer_as_decimal": (r"\d\.",),
}
_PATTERNS = {
    rule: tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns) for rule, patterns in _WORDS.items()
}


def candidates(sql: str, rules: Iterable[str]) -> tuple[str, ...]:
    """Of some rules those that may apply to a text, by its words alone."""
    return tuple(rule for rule in rules if all(pattern.search(sql) for pattern in _PATTERNS[rule]))
