"""What counting one get or set costs the request, in microseconds.

Run with `python -m bench.recorder`; it needs no server, because what the log takes is written by
another thread.
"""

from __future__ import annotations

import json
import logging
import statistics
import threading
import time
from collections.abc import Sequence

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Miss, Outcome, Scope, Stored, outcome
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load

OPERATIONS = 50_000
ROUNDS = 7
THREADS = 8
CHARTS = 200


def _events() -> list[Outcome]:
    """Eight hits, a miss and its set on each of a few hundred charts."""
    scopes = [Scope(dataset_id=n % 20, chart_id=n, dashboard_id=n % 9) for n in range(CHARTS)]
    hits = [Outcome("chart_data", None, 1.5 + n, 40_000, 300.0, scope) for n in range(8) for scope in scopes]
    misses = [Outcome("chart_data", Miss.COLD, 0.8, scope=scope) for scope in scopes]
    sets = [Outcome("chart_data", Stored.STORED, 310.0, 40_000, scope=scope) for scope in scopes]
    return hits + misses + sets


def _send(events: Sequence[Outcome], operations: int) -> float:
    """Microseconds an operation, of one thread."""
    send, count = outcome.send, len(events)
    started = time.perf_counter()
    for n in range(operations):
        event = events[n % count]
        send(event.region, event=event)
    return (time.perf_counter() - started) * 1e6 / operations


def _together(events: Sequence[Outcome], threads: int) -> float:
    """Microseconds an operation with `threads` at once: of the whole, as the interpreter runs one at a time."""
    gate = threading.Barrier(threads + 1)

    def work() -> None:
        gate.wait()
        _send(events, OPERATIONS // threads)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    gate.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - started) * 1e6 / OPERATIONS


def run() -> dict[str, float]:
    """Medians in microseconds: with nobody listening, and counted, by one thread and by eight."""
    # The port answers nobody and no flush comes within the hour: only counting is measured.
    settings = load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"})
    recorder = Recorder(LogDatabase("postgresql://127.0.0.1:1/none"), settings)
    events = _events()
    unheard = statistics.median(_send(events, OPERATIONS) for _ in range(ROUNDS))
    recorder.start()
    try:
        single = statistics.median(_send(events, OPERATIONS) for _ in range(ROUNDS))
        threads = statistics.median(_together(events, THREADS) for _ in range(ROUNDS))
    finally:
        recorder.stop()
    return {
        "unheard_us": round(unheard, 2),
        "recorded_us": round(single, 2),
        f"recorded_{THREADS}_threads_us": round(threads, 2),
    }


def main() -> None:
    """Print a table and the JSON."""
    logging.disable(logging.WARNING)  # that nobody answers is meant
    result = run()
    for name, value in result.items():
        print(f"{name.removesuffix('_us').replace('_', ' '):<22}{value:>8} µs an operation")
    print(json.dumps({"recorder": result}))


if __name__ == "__main__":
    main()
