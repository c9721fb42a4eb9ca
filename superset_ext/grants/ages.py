"""How long ago something was, as documents say it: «5 minutes ago» is true for a minute.

What was said is kept beside the answer, and said anew by Superset's own function before the answer is given again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from superset_ext.host.documents import age

Ages = tuple[tuple[str, str], ...]  # moments, as ISO 8601, and the words


def ages_of(moments: Iterable[tuple[datetime, str]]) -> Ages:
    """What was said of moments, each once."""
    return tuple(dict.fromkeys((moment.isoformat(), words) for moment, words in moments))


def are_ages(ages: Ages) -> bool:
    """Whether the same would be said now, in the language of the current request."""
    return all(age(datetime.fromisoformat(moment)) == words for moment, words in ages)
