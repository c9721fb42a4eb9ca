"""Unusual figures: how many of the injected faults are found, how fast, and how often there is a false alarm.

Run with `python -m bench.anomaly`; it needs no server. With NAB_DIR=<a checkout of github.com/numenta/NAB> it scores
that public set of labelled series too, which is no package.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from superset_ext.monitor.alerts.anomaly import BIN_SECONDS, DAY, Detector, Kind, Verdict
from superset_ext.monitor.alerts.rules import AlertRule
from superset_ext.monitor.alerts.state import Reading, begins, lasts
from testing.anomalies import Fault, judge

WEEK = 7 * DAY
WEEKS = 8
LEARNING = 2  # weeks without faults, in which alarms count as false all the same
FAULTS_A_WEEK = 3
SEEDS = range(4)
# As the built-in rule has it.
RULE = AlertRule(
    name="bench", metric_type="anomaly", comparison_operator=">=", threshold_value=0.96, clear_value=0.8,
    min_occurrences=20, cooldown_minutes=120, window_minutes=30,
)  # fmt: skip
MINUTES = BIN_SECONDS // 60
THRESHOLDS = (0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.992, 0.995, 0.997)


@dataclass(frozen=True, slots=True)
class Series:
    """Figures with what was done to them."""

    name: str
    kind: Kind
    values: Any
    events: Any
    faults: tuple[Fault, ...]


def alarms(verdicts: Sequence[Verdict | None], rule: AlertRule = RULE) -> list[int]:
    """The bins at which an alert begins, as `alerts.evaluate` would raise it once every five minutes."""
    indexes: list[int] = []
    is_open, quiet_until = False, -1
    for index, seen in enumerate(verdicts):
        reading = None if seen is None else Reading("", seen.value, int(seen.events), "", seen.confidence)
        if is_open:
            if reading is None or not lasts(rule, reading):
                is_open, quiet_until = False, index + rule.cooldown_minutes // MINUTES
        elif reading is not None and index > quiet_until and begins(rule, reading):
            is_open = True
            indexes.append(index)
    return indexes


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


STEP, SPIKE = (12, 36), (2, 4)  # bins: one to three hours, ten to twenty minutes


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


@dataclass(slots=True)
class Score:
    """What came of the alarms of some series."""

    hits: int = 0
    faults: int = 0
    false: int = 0
    weeks: float = 0.0

    def shown(self) -> dict[str, float]:
        """As the JSON has it."""
        return {
            "faults": self.faults,
            "found": round(self.hits / self.faults, 3) if self.faults else 0.0,
            "false_alarms_per_week": round(self.false / self.weeks, 3),
        }


def injected() -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Scores by series, and by kind of fault with the minutes that finding them took."""
    by_series: dict[str, Score] = defaultdict(Score)
    by_fault: dict[str, list[float | None]] = defaultdict(list)
    for maker in MAKERS:
        for seed in SEEDS:
            series = maker(np.random.default_rng(seed))
            raised = alarms(Detector(series.kind, series.values, series.events).verdicts(0))
            hits, false = judge(raised, series.faults)
            score, at = by_series[series.name], dict(hits)
            score.hits, score.faults = score.hits + len(hits), score.faults + len(series.faults)
            score.false, score.weeks = score.false + len(false), score.weeks + WEEKS
            for fault in series.faults:
                late = (at[fault] - fault.begin + 1) * MINUTES if fault in at else None
                by_fault[f"{series.name}, {fault.what}"].append(late)
    return {name: score.shown() for name, score in by_series.items()}, {k: _delays(v) for k, v in by_fault.items()}


def _delays(minutes: Sequence[float | None]) -> dict[str, float | None]:
    seen = [delay for delay in minutes if delay is not None]
    return {"found": round(len(seen) / len(minutes), 3), "median_minutes": median(seen) if seen else None}


def nab(folder: Path) -> dict[str, Any]:
    """What it makes of NAB's labelled series, at the rule's threshold and at the best one, which NAB's own table takes.

    Faults found, false alarms per series and week, and NAB's score (standard profile: 100 is perfect, 0 says nothing
    at all). The first 15 % of each series are not scored, as there. Some have no figures of five minutes; they are read
    figure by figure all the same.
    """
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    read = [_labelled(folder / "data" / name, spans) for name, spans in windows.items()]
    scored = {limit: _nab_score(read, limit) for limit in (RULE.threshold_value, *THRESHOLDS)}
    best = max(scored, key=lambda limit: float(scored[limit]["nab_score"]))
    return {"as_built_in": scored[RULE.threshold_value], "best": {"threshold": best, **scored[best]}}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series of NAB, as the detector sees it."""

    verdicts: list[Verdict | None]
    faults: list[Fault]
    probation: int
    weeks: float


def _labelled(path: Path, spans: Sequence[Sequence[str]]) -> Labelled:
    times, values = _nab_series(path)
    verdicts = Detector("level", values, np.full(len(values), 100)).verdicts(0)
    probation = min(int(0.15 * len(values)), 750)
    weeks = (times[-1] - times[probation]).total_seconds() / (7 * 86_400)
    return Labelled(verdicts, _nab_faults(times, spans), probation, weeks)


def _nab_score(read: Sequence[Labelled], threshold: float) -> dict[str, float]:
    rule = RULE.model_copy(update={"threshold_value": threshold})
    total, points = Score(), 0.0
    for series in read:
        raised = [at for at in alarms(series.verdicts, rule) if at >= series.probation]
        hits, false = judge(raised, series.faults, slack=0)
        total.hits, total.faults = total.hits + len(hits), total.faults + len(series.faults)
        total.false, total.weeks = total.false + len(false), total.weeks + series.weeks
        points += _nab_points(hits, false, series.faults)
    # A detector that says nothing has minus one a fault, a perfect one plus one.
    return {**total.shown(), "nab_score": round(100 * (points + total.faults) / (2 * total.faults), 1)}


def _nab_series(path: Path) -> tuple[list[datetime], Any]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [datetime.fromisoformat(row["timestamp"]) for row in rows], np.array([float(row["value"]) for row in rows])


def _nab_faults(times: Sequence[datetime], spans: Sequence[Sequence[str]]) -> list[Fault]:
    limits = [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in spans]
    inside = [[at for at, moment in enumerate(times) if begin <= moment <= end] for begin, end in limits]
    return [Fault(span[0], span[-1], "labelled") for span in inside]


def _nab_points(hits: Sequence[tuple[Fault, int]], false: Sequence[int], faults: Sequence[Fault]) -> float:
    """NAB's standard profile: an early find is worth up to 1, a missed one costs 1, a false alarm up to 0.11."""
    gained = sum(_sigmoid((at - f.end) / max(f.end - f.begin, 1)) / _sigmoid(-1.0) for f, at in hits)
    return gained - (len(faults) - len(hits)) - 0.11 * sum(_cost(at, faults) for at in false)


def _cost(at: int, faults: Sequence[Fault]) -> float:
    before = [fault for fault in faults if fault.end < at]
    if not before:
        return 1.0
    last = max(before, key=lambda fault: fault.end)
    return min(1.0, -_sigmoid(min((at - last.end) / max(last.end - last.begin, 1), 3.0)))


def _sigmoid(position: float) -> float:
    return 2 / (1 + exp(min(5 * position, 700))) - 1


def _rows(scores: dict[str, Any]) -> Iterator[str]:
    for name, score in scores["series"].items():
        yield _row(name, score)
    for name, fault in scores["faults"].items():
        late = "" if fault["median_minutes"] is None else f", after {fault['median_minutes']:.0f} min (median)"
        yield f"  {name:<28} {fault['found']:>5.0%} found{late}"
    for name, score in (scores["nab"] or {}).items():
        yield _row(f"NAB, {name}", score) + f", score {score['nab_score']}"
    if not scores["nab"]:
        yield "NAB: not measured; set NAB_DIR to a checkout of github.com/numenta/NAB"


def _row(name: str, score: dict[str, float]) -> str:
    false = score["false_alarms_per_week"]
    share = f"{score['faults']:>4} faults {score['found']:>5.0%} found"
    return f"{name:<16} {share} {false:>6.2f} false alarms per series and week"


def run() -> dict[str, Any]:
    """All scores."""
    by_series, by_fault = injected()
    folder = os.environ.get("NAB_DIR")
    return {"series": by_series, "faults": by_fault, "nab": nab(Path(folder)) if folder else None}


def main() -> None:
    """Print a table and a line of JSON."""
    scores = run()
    for line in _rows(scores):
        print(line)
    print(json.dumps({"anomaly": scores}))


if __name__ == "__main__":
    main()
