"""Finds figures that are unusual: a short mean against what is usual at this time, and against the last hours.

A figure is smoothed by an exponentially weighted mean over about a quarter of an hour, weighted by the requests it is
of. What is usual is the median at this time of day over two weeks, or that of the same weekday, whichever makes less
of the figure. The distance to it is compared with how much such figures scatter, and also with the same distance over
the last six hours: by the first alone a holiday would alarm all day, by the second alone every morning would.
Scatter is the median absolute deviation (MAD), and never less than what so few requests scatter by chance. A change
that stays is usual after three to four hours.

The confidence comes from the Vysochanskij-Petunin inequality: at most 4 / (9 z²) of any distribution with one peak is z
standard deviations or more from its mean. What is unusual in both ways has at most the root of both chances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, nan, pi, sin
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
_MAD, _OUTER = 1.4826, 1.645  # of a normal distribution: deviation to MAD, and its 90th percentile to it
_HALF = 0.375  # Anscombe's: so that none of ten and none of a thousand are not the same
_INDEPENDENT = 2 - ALPHA  # requests of equal weight that tell as much, to the sum of the weights

Array = Any  # numpy's, of floats
Kind = Literal["ratio", "errors", "mean", "count", "level"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How figures of a kind scatter.

    Attributes:
        sides: on which side of usual people want to know: -1 below, 1 above, 0 both.
        floor: the least standard deviation, on the scale that figures are compared on.
    """

    sides: int
    floor: float


_SHAPES: dict[Kind, _Shape] = {
    "ratio": _Shape(-1, 0.02),
    "errors": _Shape(1, 0.02),
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
        figures, of = np.asarray(values, dtype=float), np.asarray(events, dtype=float)
        weights = np.ones(len(figures)) if kind in ("count", "level") else of
        self._smooth = _smoothed(kind, figures, weights)
        self._events = _faded(of)

    def verdicts(self, first: int) -> list[Verdict | None]:
        """How unusual each figure from index `first` on is, by those before it; `None` where too little is known."""
        begin = max(0, first - LAG - RECENT)
        apart, by_season = self._by_season(np.arange(begin, len(self._smooth)))
        lately, scatter = _before(apart)
        apart, by_season, lately, scatter = (values[first - begin :] for values in (apart, by_season, lately, scatter))
        now, events = self._smooth[first:], self._events[first:]
        noise = self._noise(now - apart, events)
        seasonal, recent = apart / np.maximum(by_season, noise), (apart - lately) / np.maximum(scatter, noise)
        scores = self._unusual(seasonal, recent)
        usual = now - np.where(np.abs(seasonal) < np.abs(recent), apart, apart - lately)
        if self.kind == "count":  # that nobody asks any more is told by those who used to
            events = np.maximum(events, np.expm1(np.nan_to_num(usual)))
        known = ~np.isnan(scores) & (events >= _FEWEST)
        rows = zip(known, scores, now, usual, events, strict=True)
        return [self._verdict(*row) if yes else None for yes, *row in rows]

    def _verdict(self, score: float, now: float, usual: float, events: float) -> Verdict:
        return Verdict(_confidence(score), _unscaled(self.kind, now), _unscaled(self.kind, usual), float(events))

    def _by_season(self, at: Array) -> tuple[Array, Array]:
        """How far figures are from what is usual at their time, and how much it scatters then."""
        daily, scatter = self._at_days(at, range(1, DAYS + 1))
        weekly, _ = self._at_days(at, range(7, DAYS + 1, 7))
        by_day, by_week = self._smooth[at] - daily, self._smooth[at] - weekly
        nearer = np.where(np.abs(by_week) < np.abs(by_day), by_week, by_day)  # NaN is never less
        return nearer, scatter

    def _at_days(self, at: Array, days: range) -> tuple[Array, Array]:
        """Median and scatter of the figures around the same time, so many days ago."""
        steps = np.add.outer(np.array([-day * DAY for day in days]), np.arange(-AROUND, AROUND + 1)).ravel()
        places = at[:, None] + steps[None, :]
        past = np.where(places >= 0, self._smooth[np.maximum(places, 0)], nan)
        return _middle(past, _LEAST // 2, self.kind == "level")

    def _unusual(self, seasonal: Array, recent: Array) -> Array:
        """The geometric mean of both scores, where they are on the same side, and that is one that matters.

        The greater one counts as twice the lesser at most, so that one alone says nothing.
        """
        lesser, greater = np.sort(np.abs([seasonal, recent]), axis=0)
        side = np.sign(seasonal)
        counts = (side == np.sign(recent)) & ((self._shape.sides == 0) | (side == self._shape.sides))
        score = np.sqrt(lesser * np.minimum(greater, 2 * lesser))
        return np.where(counts | np.isnan(greater), score, 0.0)

    def _noise(self, usual: Array, events: Array) -> Array:
        """The standard deviation that figures have at least, and by the chance of so many requests."""
        events = np.maximum(events, 1.0) * _INDEPENDENT
        if self.kind in ("ratio", "errors"):
            return np.sqrt(self._shape.floor**2 + 1 / (4 * events))
        if self.kind == "mean":  # of a time whose deviation is about as large as its mean
            return np.sqrt(self._shape.floor**2 + 1 / events)
        if self.kind == "count":
            return np.sqrt(self._shape.floor**2 + ALPHA / (2 - ALPHA) / np.exp(np.maximum(usual, 0.0)))
        low, high = np.nanpercentile(self._smooth, (5, 95)) if len(self._smooth) else (0.0, 0.0)
        return np.full(len(usual), 0.02 * (high - low) + 1e-9)


def _before(apart: Array) -> tuple[Array, Array]:
    """Median and scatter of the six hours that end half an hour before each figure."""
    padded = np.concatenate([np.full(LAG + RECENT, nan), apart])
    windows = np.lib.stride_tricks.sliding_window_view(padded, RECENT)[: len(apart)]
    return _middle(windows, _LEAST, True)


def _middle(rows: Array, least: int, tails: bool) -> tuple[Array, Array]:
    """Median of each row and its robust standard deviation, NaN where a row has fewer than `least` figures.

    With `tails` it is at least what the outer tenth says, for figures that are calm most of the time.
    """
    middle = _quantile(rows, 0.5)
    away = np.abs(rows - middle[:, None])
    scatter = _MAD * _quantile(away, 0.5)
    if tails:
        scatter = np.maximum(scatter, _quantile(away, 0.9) / _OUTER)
    few = np.count_nonzero(~np.isnan(rows), axis=1) < least
    middle[few], scatter[few] = nan, nan
    return middle, scatter


def _quantile(rows: Array, share: float) -> Array:
    """A quantile of each row's figures; NaN where there is none."""
    ordered = np.sort(rows, axis=1)  # NaN goes last
    last = np.maximum(np.count_nonzero(~np.isnan(rows), axis=1) - 1, 0)
    index, place = np.arange(len(rows)), share * last
    low, part = place.astype(int), place % 1
    below, above = ordered[index, low], ordered[index, np.minimum(low + 1, last)]
    return below + part * (above - below)


def _smoothed(kind: Kind, figures: Array, weights: Array) -> Array:
    """Weighted means of the last figures on the scale that scatter is even on; NaN where there is no figure."""
    there = ~np.isnan(figures) & (weights > 0)
    scaled = _scaled(kind, np.where(there, figures, 1.0))
    total, summed = _faded(np.where(there, weights, 0.0)), _faded(np.where(there, weights * scaled, 0.0))
    if kind in ("ratio", "errors"):  # a share's scatter is even only once it is of many
        scaled = np.arcsin(np.sqrt(np.clip((summed + _HALF) / (total + 2 * _HALF), 0, 1)))
    else:
        scaled = summed / np.maximum(total, 1e-12)
    return np.where(there, scaled, nan)


def _faded(values: Array) -> Array:
    """Sums of the last figures, each counting less the older it is."""
    sums, total = np.empty(len(values)), 0.0
    for index, value in enumerate(values.tolist()):
        total = total * (1 - ALPHA) + value
        sums[index] = total
    return sums


def _scaled(kind: Kind, values: Array) -> Array:
    """Times and numbers by their logarithm."""
    if kind == "mean":
        return np.log(np.maximum(values, 1e-3))
    return np.log1p(values) if kind == "count" else values


def _unscaled(kind: Kind, value: float) -> float:
    if kind in ("ratio", "errors"):
        return sin(min(max(value, 0.0), pi / 2)) ** 2
    if kind == "mean":
        return exp(value)
    return expm1(value) if kind == "count" else float(value)


def _confidence(score: float) -> float:
    return max(0.0, 1 - 4 / (9 * float(score) ** 2)) if score > 0 else 0.0
