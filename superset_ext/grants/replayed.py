"""What an answer that is given again still has to count: hits, requests for warming, and rows of Superset's log.

It is kept in two texts, which are read and told behind the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from superset_ext.core.signals import tell
from superset_ext.events import Answer, Asked, Outcome, Scope, outcome
from superset_ext.settings import Region

_TEXTS = 512  # that a process has read and keeps, of each kind
_values = attrgetter(*(field.name for field in fields(Scope)))  # `astuple` takes ten times as long


@dataclass(frozen=True, slots=True)
class Replayed:
    """What Superset and the package said while an answer was made.

    Attributes:
        hits: the outcomes of its entries.
        queries: its queries, for the registry.
        records: the arguments of the event logger, by name.
    """

    hits: tuple[Outcome, ...]
    queries: tuple[Asked, ...]
    records: tuple[Mapping[str, Any], ...]

    def packed(self) -> tuple[str, str]:
        """Its two texts.

        Raises:
            TypeError, ValueError: what was logged is more than JSON says.
        """
        hits = [[hit.size, hit.saved_ms, _values(hit.scope) if hit.scope else None, hit.tags] for hit in self.hits]
        queries = [
            [_values(query.scope), [[answer.key, answer.cost_ms, answer.tags] for answer in query.answers]]
            for query in self.queries
        ]
        return json.dumps(queries), json.dumps([hits, list(map(dict, self.records))])


def tell_hits(text: str, ms: float) -> Sequence[Mapping[str, Any]]:
    """Tell of the hits in the second text, and return what is to be logged; `ms` is what the answer took in all.

    Nobody may change what is returned: the next answer returns it too.
    """
    hits, records = _hits(text)
    for size, saved_ms, scope, tags in hits:
        event = Outcome(Region.CHART_DATA, None, ms / len(hits), size, saved_ms, scope, tags=tags)
        tell(outcome, event.region, event)
    return records


@lru_cache(maxsize=_TEXTS)
def queries_of(text: str) -> Sequence[Asked]:
    """The queries in the first text; nobody may change what is returned."""
    return [Asked(Scope(*scope), tuple(_answer(*answer) for answer in answers)) for scope, answers in json.loads(text)]


@lru_cache(maxsize=_TEXTS)
def _hits(text: str) -> tuple[Sequence[tuple[int, float, Scope | None, tuple[str, ...]]], Sequence[Mapping[str, Any]]]:
    hits, records = json.loads(text)
    whole = [(size, saved_ms, Scope(*scope) if scope else None, tuple(tags)) for size, saved_ms, scope, tags in hits]
    return whole, records


def _answer(key: str, cost_ms: float, tags: Any) -> Answer:
    return Answer(key, True, None, cost_ms, tags=tuple(tags))
