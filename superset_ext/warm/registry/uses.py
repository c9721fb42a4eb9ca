"""A use: one chart request that was made, by whom, when, and what its queries came to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from superset_ext.compat import UTC
from superset_ext.events import Answer
from superset_ext.host.people import Identity
from superset_ext.warm.registry.requests import ChartRequest

HOURS = 168  # of a week


@dataclass(frozen=True, slots=True)
class Ids:
    """Superset's ids of what a request is about; `None` where unknown."""

    dashboard: int | None = None
    chart: int | None = None
    dataset: int | None = None
    database: int | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One request that was made.

    Attributes:
        request: the request, whole.
        identity: as whom it was made.
        answers: what its queries came to.
        ids: what it is about.
        at: when it was made, in seconds since 1970.
        wanted: whether a person wanted the answer; discovery and warming only want to know it.
        on_page: whether a page made it; warming by itself does not show that a page still does.
    """

    request: ChartRequest
    identity: Identity
    answers: tuple[Answer, ...]
    ids: Ids
    at: float
    wanted: bool = True
    on_page: bool = True

    @property
    def cache_keys(self) -> list[str]:
        """The keys that the request leads to under this identity's rights, in order."""
        return sorted({answer.key for answer in self.answers})

    @property
    def access_scope(self) -> str:
        """The name of these keys: their hash; where they are not known yet, a name of the identity's own."""
        keys = self.cache_keys
        return sha256("\n".join(keys).encode()).hexdigest()[:32] if keys else f"unknown:{self.identity.name}"


def discovered_use(request: ChartRequest, identity: Identity, ids: Ids) -> Use:
    """A use that a page showed and no person made; its keys are not known yet."""
    return Use(request, identity, (), ids, time.time(), wanted=False)


def warmed_use(request: ChartRequest, identity: Identity, ids: Ids, answers: tuple[Answer, ...]) -> Use:
    """A use that warming made; it tells the keys that the identity is led to now."""
    return Use(request, identity, answers, ids, time.time(), wanted=False, on_page=False)


def hour_of_week(at: float) -> int:
    """0 for Monday 0:00 to 1:00 UTC, 167 for the last hour of Sunday.

    Args:
        at: seconds since 1970.
    """
    moment = datetime.fromtimestamp(at, UTC)
    return moment.weekday() * 24 + moment.hour
