"""Finds figures that are unusual: a short mean against what was usual in the last hours and at this time of day.

A figure is smoothed by an exponentially weighted mean over about a quarter of an hour, weighted by the requests it is
of. It is unusual where that is far from the median of the last six hours and, on the same side, from the median
at this time of day on the days before: the first alone would take every morning for a fault, the second every
holiday. How far is measured in robust standard deviations (MAD), never smaller than what so few requests scatter by
chance. After a change that stays, the last hours have learned it within three.

The confidence is what the Vysochanskij-Petunin inequality says for any distribution with one peak: at most 4 / (9 z²)
of it is z standard deviations or more from its mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, isnan, nan, sqrt
from typing import Any, Literal

import numpy as np

BIN_SECONDS = 300
DAY = 86_400 // BIN_SECONDS
DAYS = 14  # of history that a verdict looks at
ALPHA = 0.4
RECENT = 72  # bins: six hours
LAG = 6  # bins before this one that are in its own mean
AROUND = 6  # bins to both sides of this time of day
_LEAST = 24  # bins below which nothing is said
_FEWEST = 5.0  # requests, in about a quarter of an hour, below which nothing is said
_MAD = 1.4826

Array = Any  # numpy's, of floats
Kind = Literal["ratio", "errors", "mean", "count", "level"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How figures of a kind scatter.

    Attributes:
        sides: on which side of usual people want to know: -1 below, 1 above, 0 both.
        floor: the least standard deviation, in the scale that figures are compared on.
    """

    sides: int
    floor: float


_SHAPES: dict[Kind, _Shape] = {
    "ratio": _Shape(-1, 0.02),
    "errors": _Shape(1, 0.002),
    "mean": _Shape(1, 0.05),
    "count": _Shape(0, 0.1),
    "level": _Shape(0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How unusual a figure is.

    Attributes:
        confidence: 0 to 1, that it is no chance.
        value: the smoothed figure.
        usual: what it would have been.
        events: requests that it is of.
    """

    confidence: float
    value: float
    usual: float
    events: float


class Detector:
    """A series, read from its begin to its end.

    Args:
        kind: `ratio` (a share that should be high), `errors` (one that should be low), `mean` (a time), `count`
            (requests), or `level` (a number of which nothing is known).
        values: a figure for each five minutes; NaN where there was none.
        events: the requests that each is of.
    """

    def __init__(self, kind: Kind, values: Sequence[float] | Array, events: Sequence[float] | Array) -> None:
        self.kind = kind
        self._shape = _SHAPES[kind]
        figures = _scaled(kind, np.asarray(values, dtype=float))
        weighed = np.ones(len(figures)) if kind in ("count", "level") else np.asarray(events, dtype=float)
        self._smooth, _ = _smoothed(figures, weighed)
        _, self._events = _smoothed(figures, np.asarray(events, dtype=float))

    def verdict(self, index: int) -> Verdict | None:
        """How unusual the figure at `index` is, by those before it; `None` where too little is known."""
        now, events = self._smooth[index], self._events[index]
        if isnan(now) or events < _FEWEST:
            return None
        recent = _finite(self._smooth[max(0, index - LAG - RECENT) : max(0, index - LAG)])
        daily = self._same_time(index)
        if len(recent) < _LEAST or len(daily) < _LEAST // 2:
            return None
        usual, score = self._nearer(now, events, recent, daily)
        return Verdict(_confidence(score), _unscaled(self.kind, now), _unscaled(self.kind, usual), events)

    def _nearer(self, now: float, events: float, *histories: Array) -> tuple[float, float]:
        """What is usual by that history which makes less of it, and how many deviations it is away by both."""
        judged = [(float(np.median(past)), self._deviation(past, events)) for past in histories]
        scores = [((now - usual) / deviation, usual) for usual, deviation in judged]
        least, usual = min(scores, key=lambda each: abs(each[0]))
        together = all(score > 0 for score, _ in scores) or all(score < 0 for score, _ in scores)
        wanted = self._shape.sides in (0, 1 if least > 0 else -1)
        return usual, abs(least) if together and wanted else 0.0

    def _same_time(self, index: int) -> Array:
        starts = range(index - DAY, max(-1, index - DAYS * DAY - 1), -DAY)
        parts = [self._smooth[max(0, at - AROUND) : at + AROUND + 1] for at in starts]
        return _finite(np.concatenate(parts)) if parts else np.empty(0)

    def _deviation(self, past: Array, events: float) -> float:
        middle = float(np.median(past))
        spread = _MAD * float(np.median(np.abs(past - middle)))
        return sqrt(spread**2 + self._least(past) ** 2 + self._chance(middle, events)) or 1e-9

    def _least(self, past: Array) -> float:
        if self.kind != "level":
            return self._shape.floor
        low, high = np.percentile(past, (5, 95))
        return 0.1 * float(high - low) + 1e-3 * abs(float(np.median(past)))

    def _chance(self, usual: float, events: float) -> float:
        """The variance that so many requests have by chance."""
        if self.kind in ("ratio", "errors"):
            share = min(max(usual, 1 / (events + 2)), 1 - 1 / (events + 2))
            return share * (1 - share) / events
        if self.kind == "mean":
            return 1 / events  # about that of a logarithm of times whose deviation is their mean
        return 1 / (expm1(usual) + 1) if self.kind == "count" else 0.0


def _finite(values: Array) -> Array:
    return values[~np.isnan(values)]


def _scaled(kind: Kind, values: Array) -> Array:
    """On the scale that scatter is even on: times and numbers by their logarithm."""
    if kind == "mean":
        return np.log(np.maximum(values, 1e-3))
    return np.log1p(values) if kind == "count" else values


def _unscaled(kind: Kind, value: float) -> float:
    if kind == "mean":
        return exp(value)
    return expm1(value) if kind == "count" else float(value)


def _smoothed(figures: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted means of the last figures and their weight, NaN where there is no figure."""
    means, weight, total = np.full(len(figures), nan), np.zeros(len(figures)), 0.0
    summed = 0.0
    for index, (figure, by) in enumerate(zip(figures.tolist(), weights.tolist(), strict=True)):
        total *= 1 - ALPHA
        summed *= 1 - ALPHA
        if not isnan(figure) and by > 0:
            total, summed = total + by, summed + by * figure
            means[index] = summed / total
        weight[index] = total
    return means, weight


def _confidence(score: float) -> float:
    return max(0.0, 1 - 4 / (9 * score**2)) if score > 0 else 0.0
