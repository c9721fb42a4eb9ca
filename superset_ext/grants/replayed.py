"""What an answer that is given again still has to count: hits, requests for warming, and rows of Superset's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from superset_ext.core.signals import tell
from superset_ext.events import Answer, Asked, Outcome, Scope, asked, outcome
from superset_ext.settings import Region


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

    def tell(self, ms: float) -> None:
        """Count the hits and the request; `ms` is what the answer took in all."""
        for hit in self.hits:
            tell(outcome, hit.region, replace(hit, ms=ms / len(self.hits)))
        for query in self.queries:
            tell(asked, query.scope.channel, query)

    def packed(self) -> list[Any]:
        """As a value of the region."""
        hits = [[hit.size, hit.saved_ms, astuple(hit.scope) if hit.scope else None, hit.tags] for hit in self.hits]
        queries = [
            [astuple(query.scope), [[answer.key, answer.cost_ms, answer.tags] for answer in query.answers]]
            for query in self.queries
        ]
        return [hits, queries, list(map(dict, self.records))]

    @classmethod
    def unpacked(cls, value: Any) -> Replayed:
        """From a value of the region."""
        hits, queries, records = value
        return cls(
            tuple(_hit(*hit) for hit in hits),
            tuple(Asked(Scope(*scope), tuple(_answer(*answer) for answer in answers)) for scope, answers in queries),
            tuple(records),
        )


def _hit(size: int, saved_ms: float, scope: Any, tags: Any) -> Outcome:
    whose = Scope(*scope) if scope is not None else None
    return Outcome(Region.CHART_DATA, None, 0.0, size, saved_ms, whose, tags=tuple(tags))


def _answer(key: str, cost_ms: float, tags: Any) -> Answer:
    return Answer(key, True, None, cost_ms, tags=tuple(tags))
