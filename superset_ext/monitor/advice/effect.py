"""What a step brought: the window after it beside the window before, as if both had had the same traffic.

The odds of a hit grow with the traffic (see `lifetimes`), so those of the window after are put back to the traffic of
the window before, chart by chart. A weekend after a Friday is then no harm, and a chart that more people opened no
merit. What was asked for the first time is left out: no life of an entry answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superset_ext.monitor.advice.lifetimes import Use, odds
from superset_ext.monitor.advice.overrides import Setting


@dataclass(frozen=True, slots=True)
class Window:
    """Some time and what was asked in it, of all datasets."""

    seconds: float
    uses: Sequence[Use]


@dataclass(frozen=True, slots=True)
class Effect:
    """What was saved in two windows, of the charts that were asked for in both.

    Attributes:
        before, after: seconds, for the traffic of the window before: of the database, where a timeout was set; that
            people did not wait for it, where grace was.
        requests: those of the window after that this stands on.
    """

    before: float
    after: float
    requests: float


def effect(dataset_id: int, setting: Setting, before: Window, after: Window) -> Effect:
    """What setting something for a dataset brought, and what it cost others by throwing their entries out."""
    later = {use.chart_id: use for use in after.uses if use.dataset_id == dataset_id}
    pairs = [
        (use, later[use.chart_id]) for use in before.uses if use.dataset_id == dataset_id and use.chart_id in later
    ]
    ratio = before.seconds / after.seconds
    compared = [_compared(setting, *pair, ratio) for pair in pairs]
    return Effect(
        sum(row[0] for row in compared),
        sum(row[1] for row in compared) - _thrown_out(dataset_id, before, after),
        sum(row[2] for row in compared),
    )


def _compared(setting: Setting, before: Use, after: Use, ratio: float) -> tuple[float, float, float]:
    good, bad = _split(setting, before)
    good_later, bad_later = _split(setting, after)
    known, known_later = good + bad, good_later + bad_later
    if not known or not known_later:
        return 0.0, 0.0, 0.0
    worth = known * (before.cost or after.cost)
    traffic = known / (known_later * ratio)
    return worth * _share(odds(good, bad)), worth * _share(odds(good_later, bad_later) * traffic), known_later


def _split(setting: Setting, use: Use) -> tuple[float, float]:
    """Requests that went well, and that did not. An old answer costs a query, but nobody waits for it."""
    return (use.fresh_hits, use.renewals) if setting == "timeout" else (use.hits, use.renewals - use.stale)


def _share(of: float) -> float:
    return of / (1 + of)


def _thrown_out(dataset_id: int, before: Window, after: Window) -> float:
    """Database seconds that others spent more on answers that were evicted."""
    earlier, later = (_others(dataset_id, window) for window in (before, after))
    return later[1] * (earlier[0] / later[0]) - earlier[1] if earlier[0] and later[0] else 0.0


def _others(dataset_id: int, window: Window) -> tuple[float, float]:
    others = [use for use in window.uses if use.dataset_id != dataset_id]
    return sum(use.requests for use in others), sum(use.evicted * use.cost for use in others)
