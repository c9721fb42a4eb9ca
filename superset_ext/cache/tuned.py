"""What tuning has set for single datasets, as this process has last heard.

Nobody asks anything here: whoever hears of it calls `put` now and then, off the request's path, and an answer that is
about to be stored looks into a dictionary. What people have set wins: a rule of the settings, and a timeout that
Superset was given for a chart, a dataset or a database.

A longer life is safe only where somebody says when the data changes. So it is given to an answer all of whose tables
are among those whose changes are told, and to no other, whatever its dataset was granted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from superset_ext.cache.rules import lifetime as by_settings
from superset_ext.cache.tags import ANY, object_tag
from superset_ext.settings import Settings

GOOD_FOR_SECONDS = 300.0  # a process that hears nothing for longer may have missed that something was taken back
_DATASET = object_tag("dataset", 0).removesuffix("0")


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is set for a dataset.

    Attributes:
        timeout, grace: seconds; `None` where the settings hold.
    """

    timeout: float | None = None
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class _Heard:
    datasets: Mapping[int, Tuned]
    reported: frozenset[str]
    until: float


_NOTHING = _Heard(MappingProxyType({}), frozenset(), 0.0)
heard = _NOTHING
clock: Callable[[], float] = time.monotonic


def put(datasets: Mapping[int, Tuned], reported: Collection[str] = ()) -> None:
    """Go by this from now on, for `GOOD_FOR_SECONDS`.

    Args:
        datasets: by Superset's id.
        reported: tags of the tables and datasets whose changes somebody tells.
    """
    global heard
    heard = _Heard(dict(datasets), frozenset(reported), clock() + GOOD_FOR_SECONDS) if datasets else _NOTHING


def lifetime(settings: Settings, dataset_id: int | None, tags: Collection[str], passed_ms: int) -> tuple[int, int]:
    """As `rules.lifetime` of an answer that no rule applies to.

    Args:
        tags: what the answer depends on.
        passed_ms: what Superset asks for.
    """
    plain = by_settings(settings, None, passed_ms)
    tuned = heard.datasets.get(dataset_id or 0)
    if tuned is None or passed_ms != settings.chart_data.timeout * 1000 or clock() > heard.until:
        return plain
    fresh = plain[0] if tuned.timeout is None else int(tuned.timeout * 1000)
    grace = int((settings.grace_seconds if tuned.grace is None else tuned.grace) * 1000)
    if not are_told(tags, heard.reported):
        fresh, grace = min(fresh, plain[0]), min(grace, plain[1])
    return fresh, min(grace, fresh)


def are_told(tags: Collection[str], reported: Collection[str]) -> bool:
    """Whether somebody says so whenever the data changes that these tags stand for.

    Tables that cannot be known, and a value that does not say what it was read from, are never told of.
    """
    if ANY in tags or any(tag.startswith("tables:") for tag in tags):
        return False
    tables = [tag for tag in tags if tag.startswith("table:")]
    datasets = [tag for tag in tags if tag.startswith(_DATASET)]
    return any(named and all(tag in reported for tag in named) for named in (tables, datasets))
