"""The scores on NAB, a public set of labelled series, for `bench/anomaly.py`."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from bench.anomaly_score import RULE, Score, alarms
from superset_ext.monitor.alerts.anomaly import Detector, Verdict
from testing.anomalies import Fault, judge

THRESHOLDS = (0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.992, 0.995, 0.997)


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
