"""Figures as a log has them, with faults put in, for `bench/anomaly.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superset_ext.monitor.alerts.anomaly import DAY, Kind
from testing.anomalies import Fault

WEEK = 7 * DAY
WEEKS = 8
LEARNING = 2  # weeks without faults, in which alarms count as false all the same
FAULTS_A_WEEK = 3


@dataclass(frozen=True, slots=True)
class Series:
    """Figures with what was done to them."""

    name: str
    kind: Kind
    values: Any
    events: Any
    faults: tuple[Fault, ...]


STEP, SPIKE = (12, 36), (2, 4)  # bins: one to three hours, ten to twenty minutes


def _traffic(random: np.random.Generator, busiest: float) -> Any:
    """Expected requests of five minutes: office hours, quiet nights and weekends, weeks and days that differ."""
    bins = np.arange(WEEKS * WEEK)
    hour, day = bins % DAY / (DAY / 24), bins // DAY % 7
    shape = np.exp(-0.5 * ((hour - 10.5) / 1.8) ** 2) + 0.9 * np.exp(-0.5 * ((hour - 15) / 2.0) ** 2) + 0.02
    weekend = np.where(day >= 5, 0.12, 1.0)
    daily = np.repeat(random.lognormal(0, 0.15, WEEKS * 7), DAY)
    return busiest * shape * weekend * daily * np.exp(_drift(random, len(bins), 0.1))


def _drift(random: np.random.Generator, length: int, size: float) -> Any:
    """Slow wandering with a deviation of `size`: neighbours are alike, as in real figures."""
    steps, wandering, state = random.normal(0, 1, length), np.empty(length), 0.0
    for index in range(length):
        state = 0.97 * state + steps[index]
        wandering[index] = state
    return wandering * size * (1 - 0.97**2) ** 0.5


def _faults(random: np.random.Generator, rate: Any, kinds: Sequence[tuple[str, int, int]]) -> tuple[Fault, ...]:
    """A few a week, while there is traffic, at least half a day apart."""
    busy = [at for at in range(LEARNING * WEEK, len(rate) - DAY) if rate[at] > 15]
    chosen: list[Fault] = []
    while len(chosen) < (WEEKS - LEARNING) * FAULTS_A_WEEK:
        at = int(random.choice(busy))
        if all(abs(at - other.begin) > DAY // 2 for other in chosen):
            what, shortest, longest = kinds[len(chosen) % len(kinds)]
            chosen.append(Fault(at, at + int(random.integers(shortest, longest + 1)), what))
    return tuple(sorted(chosen, key=lambda fault: fault.begin))


def hit_ratio(random: np.random.Generator) -> Series:
    """Shares of hits, with steps of -25 and -15 points and spikes of -40."""
    rate = _traffic(random, 60)
    faults = _faults(random, rate, (("step -25", *STEP), ("step -15", *STEP), ("spike -40", *SPIKE)))
    share = np.clip(
        0.86 + 0.03 * np.sin(np.arange(len(rate)) / DAY * 2 * np.pi) + _drift(random, len(rate), 0.02), 0, 1
    )
    for fault in faults:
        share[fault.begin : fault.end] += float(fault.what.split()[1]) / 100
    requests = random.poisson(rate)
    hits = random.binomial(requests, np.clip(share, 0, 1))
    return Series("hit ratio", "ratio", _ratio(hits, requests), requests, faults)


def response(random: np.random.Generator, name: str = "response time", level: float = 80.0) -> Series:
    """Mean times of skewed requests, slower when busy, with steps of 2x and 1.5x and spikes of 4x."""
    rate = _traffic(random, 60)
    faults = _faults(random, rate, (("step 2x", *STEP), ("step 1.5x", *STEP), ("spike 4x", *SPIKE)))
    mean = level * (1 + rate / 250) * np.exp(_drift(random, len(rate), 0.08))
    _multiply(mean, faults)
    requests = random.poisson(rate)
    sums = np.array([random.lognormal(-0.32, 0.8, n).sum() for n in requests]) * mean
    return Series(name, "mean", _ratio(sums, requests), requests, faults)


def query_time(random: np.random.Generator) -> Series:
    """The same of queries, as the geometric means that they are kept as."""
    rate = _traffic(random, 60) / 4
    faults = _faults(random, rate, (("step 2x", *STEP), ("step 1.5x", *STEP), ("spike 4x", *SPIKE)))
    mean = 900 * (1 + rate / 80) * np.exp(_drift(random, len(rate), 0.1))
    _multiply(mean, faults)
    runs = random.poisson(rate)
    logs = np.array([random.normal(0, 1.1, n).sum() for n in runs])
    return Series("query duration", "mean", np.exp(_ratio(logs, runs)) * mean, runs, faults)


def requests(random: np.random.Generator) -> Series:
    """Numbers of requests, with steps to a fifth and to 4x and spikes of 6x."""
    rate = _traffic(random, 60)
    faults = _faults(random, rate, (("step 0.2x", *STEP), ("step 4x", *STEP), ("spike 6x", *SPIKE)))
    _multiply(rate, faults)
    counted = random.poisson(rate)
    return Series("requests", "count", counted.astype(float), counted, faults)


def errors(random: np.random.Generator) -> Series:
    """Shares of errors about 0.5 %, with steps to 8 % and 4 % and spikes of 20 %."""
    rate = _traffic(random, 60)
    faults = _faults(random, rate, (("step 8 %", *STEP), ("step 4 %", *STEP), ("spike 20 %", *SPIKE)))
    share = 0.005 * np.exp(_drift(random, len(rate), 0.3))
    for fault in faults:
        share[fault.begin : fault.end] = float(fault.what.split()[1]) / 100
    asked = random.poisson(rate)
    return Series("errors", "errors", _ratio(random.binomial(asked, share), asked), asked, faults)


def _multiply(values: Any, faults: Sequence[Fault]) -> None:
    for fault in faults:
        values[fault.begin : fault.end] *= float(fault.what.split()[1].rstrip("x"))


def _ratio(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


MAKERS = (hit_ratio, response, query_time, requests, errors)
