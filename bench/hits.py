"""Cached chart answers beside stock's: the same requests to stock and to each step of the package, in turn, in one run.

Run with `python -m bench hits`. A browser opens the example dashboards of an embedded stack (TEST_STACK names one that
runs already); HITS_REQUESTS names a JSON file with requests to take instead. Web servers over the stack's databases
then answer each request one after the other. HITS_ROUNDS and HITS_SECONDS say for how long.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.faults import stack
from testing.serving import Client
from testing.side_by_side import STEPS, STOCK, Asked, Line, captured, cookie, servers

ROUNDS = int(os.environ.get("HITS_ROUNDS", "10"))
CLIENTS, CLIENT_SECONDS = 8, float(os.environ.get("HITS_SECONDS", "10"))
BEFORE, LAST = tuple(STEPS)[-2:]
ASKS = 6  # until a worker has a grant: each remembers by itself what it refused, and each begins with nothing
People = Mapping[str, Mapping[str, str]]
Lines = Mapping[str, Line]


def run(env: Mapping[str, str], user: str, password: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """The figures: milliseconds by step, what was granted, answers a second."""
    with servers(env) as urls:
        people = {step: cookie(Client(url, user, password)) for step, url in urls.items()}
        lines = {step: Line(urls[step], people[step]) for step in urls}
        usable = [one for one in asked if _is_cached(lines, one)]
        granted = [one for one in usable if _is_granted(lines, one)]
        times = _times(lines, granted, ROUNDS)
        first = _times(lines, [one.anew(number) for number in range(2) for one in granted], 1)
        rates = {step: _rate(urls[step], people[step], granted) for step in urls}
    return {
        "requests": len(asked), "cached": len(usable), "granted": len(granted),
        "ms": {step: _quantiles(values) for step, values in times.items()}, "answers_a_second": rates,
        "ms_of_first": {step: _quantiles(values) for step, values in first.items()},
        "times_faster": round(statistics.median(times[STOCK]) / statistics.median(times[LAST]), 1),
    }  # fmt: skip


def _is_cached(lines: Lines, asked: Asked) -> bool:
    """Whether all servers answer a request from their caches, which they have by now."""
    for _ in range(2):
        answers = [line.ask(asked, "identity") for line in lines.values()]
        if all(answer.status == 200 and b'"is_cached": true' in answer.data for answer in answers):
            return True
    return False


def _is_granted(lines: Lines, asked: Asked) -> bool:
    """Whether a request is given again: it takes a fraction of what it takes without grants."""
    for _ in range(ASKS):
        lines[LAST].ask(asked)
    without, given = (statistics.median(lines[step].ask(asked).ms for _ in range(3)) for step in (BEFORE, LAST))
    return given < without * 0.4


def _times(lines: Lines, asked: Sequence[Asked], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {step: [] for step in lines}
    steps = tuple(lines)
    for number in range(rounds):
        for place, one in enumerate(asked):
            turn = (number + place) % len(steps)
            for step in (*steps[turn:], *steps[:turn]):
                times[step].append(lines[step].ask(one).ms)
    return times


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(statistics.median(values), 2), "p95": round(cuts[18], 2), "best": round(min(values), 2)}


def _rate(url: str, person: Mapping[str, str], asked: Sequence[Asked]) -> float:
    """Answers a second to eight clients at once, of what has been asked within a grant's life."""
    for one in (*asked, *asked):
        Line(url, person).ask(one)  # a new connection each, so that each worker is asked
    counts, end = [0] * CLIENTS, time.monotonic() + CLIENT_SECONDS

    def client(number: int) -> None:
        line = Line(url, person)
        while time.monotonic() < end:
            for one in asked[number:] or asked:
                line.ask(one)
                counts[number] += 1
                if time.monotonic() >= end:
                    break

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(counts) / CLIENT_SECONDS, 1)


def show(results: Mapping[str, Any]) -> None:
    """Print a table and the JSON."""
    cached, granted = results["cached"], results["granted"]
    print(f"of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{results['requests']} requests, {cached} cached by all, {granted} granted ({granted / cached:.0%})")
    head = f"{'step':<20}{'p50 ms':>9}{'p95 ms':>9}{'best ms':>9}{'of stock':>10}"
    print(f"{head}{'8 clients: answers/s':>23}{'first ask':>11}")
    stock = results["ms"][STOCK]["p50"]
    for step, row in results["ms"].items():
        share, rate = f"{row['p50'] / stock:.0%}", results["answers_a_second"][step]
        first = results["ms_of_first"][step]["p50"]
        print(f"{step:<20}{row['p50']:>9}{row['p95']:>9}{row['best']:>9}{share:>10}{rate:>23}{first:>11}")
    print(f"a granted answer comes {results['times_faster']} times as fast as stock's")
    print(json.dumps({"hits": results}))


def main() -> None:
    """Measure, and print a table and the JSON."""
    with stack() as running:
        show(run(running.env, running.user, running.password, captured(running)))


if __name__ == "__main__":
    main()
