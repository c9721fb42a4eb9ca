"""What a lower layer tells the upper ones, without importing them.

A region knows no recorder: it sends `outcome`, and whoever wants to count subscribes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blinker import Namespace

from superset_ext.compat import StrEnum

Channel = Literal["web", "embedded", "celery", "report", "cli", "warm"]
WARM: Channel = "warm"

_names = Namespace()

outcome = _names.signal("outcome", doc="Sent with `event=Outcome(...)` for every get and set of a region.")
changed = _names.signal("changed", doc="Sent with `event=…` after something that changed has been stamped.")
asked = _names.signal("asked", doc="Sent with `event=Asked(...)` at the end of each chart query that is nobody's part.")
queried = _names.signal("queried", doc="Sent with `event=Queried(...)` when a query of a source database has ended.")


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, for what, and how. Ids are Superset's; `None` where there is none.

    Attributes:
        channel: where the asking comes from.
        schema: of the dataset.
        forced: whether what is cached will not do.
        counted: whether it counts in hit ratios and response times.
        count_misses: whether its misses do; those of a read that never runs the query do not.
        own: whether it is for the package's own dashboards, which are not counted in what they show.
        refreshing: whether an answer in its grace will not do, since that is the one to be refreshed.
    """

    channel: Channel = "web"
    dataset_id: int | None = None
    database_id: int | None = None
    schema: str | None = None
    chart_id: int | None = None
    dashboard_id: int | None = None
    user_id: int | None = None
    forced: bool = False
    counted: bool = True
    count_misses: bool = True
    own: bool = False
    refreshing: bool = False


class Miss(StrEnum):
    """Why a get found nothing that it may return."""

    COLD = "cold"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    EVICTED = "evicted"
    FORCED = "forced"
    DISABLED = "disabled"
    REJECTED = "rejected"
    UNKNOWN_FORMAT = "unknown_format"
    BAD_SIGNATURE = "bad_signature"
    ERROR = "error"


class Stored(StrEnum):
    """What became of a set."""

    STORED = "stored"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    MEMORY = "memory"
    SUPERSEDED = "superseded"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One get or set of a region.

    Attributes:
        region: the region's name, as in `settings.Region`.
        result: `None` for a hit, a `Miss` for a get that returned nothing, a `Stored` for a set.
        ms: milliseconds. Of a hit: what the cache took. Of a set: from the start of the get that
            missed to the set, 0 where no get came before it. Of a miss: what the cache took.
        size: stored bytes read or written.
        saved_ms: of a hit, what its answer had cost to compute.
        scope: who asked, where that is known.
        seconds: of a set, how long the entry is fresh, 0 for ever.
        stale: of a hit, whether its time was over and it was given while somebody refreshes it.
        coalesced: of a hit, whether it waited for the query of another caller.
        tags: of a hit or a set, what the entry depends on.
    """

    region: str
    result: Miss | Stored | None
    ms: float
    size: int = 0
    saved_ms: float = 0.0
    scope: Scope | None = None
    seconds: float | None = None
    stale: bool = False
    coalesced: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one cache key of a chart query came to.

    Attributes:
        key: Superset's cache key.
        hit: whether the cache answered.
        stored: what became of the value, where there was a set.
        cost_ms: what the answer cost to compute, now or, of a hit, when it was stored.
        seconds: for how long it was stored, 0 for ever; `None` where it was not stored now.
        tags: what the entry depends on.
    """

    key: str
    hit: bool
    stored: Stored | None
    cost_ms: float
    seconds: float | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A chart query that has ended, however it ended; queries nested in it are its part."""

    scope: Scope
    answers: tuple[Answer, ...]


@dataclass(slots=True)  # a frozen one takes a microsecond longer to make, on a request's path
class Queried:
    """A query that was sent to a source database, however it ended.

    Attributes:
        source: `sqllab` for SQL Lab's own, `chart` for all that a dataset, a filter or an alert asks.
        database_id: Superset's.
        engine: SQLAlchemy's name of the source's engine, without its driver.
        sql: as it was sent, with its values; of SQL Lab as it was written.
        ms: milliseconds from sending it to having its rows.
        ended: `time.monotonic()` at its end, in seconds.
        scope: who asked, and for what.
        rows: how many came back; `None` where it failed or nobody counted.
        error: class of the error, `None` where it succeeded.
        sent: the statements as they reached the driver, with their values, where that is known.
        schema, catalog: where names without them were looked up, `None` for the database's own.
    """

    source: Literal["chart", "sqllab"]
    database_id: int | None
    engine: str
    sql: str
    ms: float
    ended: float
    scope: Scope
    rows: int | None = None
    error: str | None = None
    sent: tuple[str, ...] = ()
    schema: str | None = None
    catalog: str | None = None
