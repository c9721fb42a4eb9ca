"""Unusual figures: how many of the injected faults are found, how fast, and how often there is a false alarm.

Run with `python -m bench.anomaly`; it needs no server. With NAB_DIR=<a checkout of github.com/numenta/NAB> it scores
that public set of labelled series too, which is no package.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.anomaly_score import MINUTES, Score, alarms
from bench.anomaly_series import MAKERS, WEEKS
from bench.nab import nab
from superset_ext.monitor.alerts.anomaly import Detector
from testing.anomalies import judge

SEEDS = range(4)


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
