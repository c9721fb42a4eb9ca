"""Cached chart answers beside stock's: the same requests to stock and to each step of the package, in turn, in one run.

Run with `python -m bench hits`. A browser opens the example dashboards of an embedded stack (TEST_STACK names one that
runs already); HITS_REQUESTS names a JSON file with requests to take instead. Web servers over the stack's databases
then answer each request one after the other. HITS_ROUNDS and HITS_SECONDS say for how long.

Each is measured in two ways: request by request in turn, so that each finds the processor's caches full of the others'
work; and all requests in a row, as it is where one server is busy, the servers in turns. FLOOR is the least that a
request costs there: the answer `OK`, which no grant, no session and no database has a part in.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil

from bench.faults import stack
from bench.wire import Wire
from testing.serving import Client
from testing.side_by_side import STEPS, STOCK, Asked, Line, captured, cookie, servers

ROUNDS = int(os.environ.get("HITS_ROUNDS", "10"))
ROW_SECONDS = 1.0  # that a server is asked by itself, at least
CLIENTS, CLIENT_SECONDS = 8, float(os.environ.get("HITS_SECONDS", "10"))
BEFORE, LAST = tuple(STEPS)[-2:]
TRIES = 3  # before a request is taken for one that is not granted
ASKS = 6  # until a worker has a grant: each remembers by itself what it refused, and each begins with nothing
People = Mapping[str, Mapping[str, str]]
Lines = Mapping[str, Line]
Wires = Mapping[str, Wire]
FLOOR = "floor: /health"
_HEALTH = Asked("/health", b"", "")


def run(env: Mapping[str, str], user: str, password: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """The figures: milliseconds by step, what was granted, answers a second."""
    with servers(env) as urls:
        people = {step: cookie(Client(url, user, password)) for step, url in urls.items()}
        lines = {step: Line(urls[step], people[step]) for step in urls}
        usable = [one for one in asked if _is_cached(lines, one)]
        granted = [one for one in usable if _is_granted(lines, one)]
        wires = {step: Wire(urls[step], people[step]) for step in urls}
        wires[FLOOR] = Wire(urls[LAST], {})
        times = _times(wires, granted, ROUNDS)
        first = _times(wires, [one.anew(number) for number in range(2) for one in granted], 1)
        rows = _rows(wires, urls, granted)
        rates = {step: _rate(urls[step], people[step], granted) for step in urls}
    return {
        "requests": len(asked), "cached": len(usable), "granted": len(granted),
        "ms": {step: _quantiles(values) for step, values in times.items()}, "answers_a_second": rates,
        "ms_of_first": {step: _quantiles(values) for step, values in first.items()},
        "in_a_row": rows,
        "times_faster": _times_faster(times[STOCK], times[LAST]),
        "times_faster_in_a_row": round(rows[STOCK]["p50"] / rows[LAST]["p50"], 1),
    }  # fmt: skip


def _times_faster(stock: Sequence[float], ours: Sequence[float]) -> float:
    return round(statistics.median(stock) / statistics.median(ours), 1)


def _rows(wires: Wires, urls: Mapping[str, str], asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Milliseconds of all requests one after the other to one server, and what they cost it in processor time.

    The servers take turns of a second and more, since a machine is not as fast the whole time.
    """
    times: dict[str, list[float]] = {step: [] for step in wires}
    spent = dict.fromkeys(wires, 0.0)
    for _ in range(max(2, ROUNDS // 2)):
        for step, wire in wires.items():
            server = _server(urls.get(step, urls[LAST]))
            _ask_all(step, wire, asked)
            before, end = _cpu_seconds(server), time.monotonic() + ROW_SECONDS
            while time.monotonic() < end:
                times[step] += _ask_all(step, wire, asked)
            spent[step] += _cpu_seconds(server) - before
    return {step: {**_quantiles(times[step]), "cpu": round(spent[step] / len(times[step]) * 1000, 2)} for step in wires}


def _ask_all(step: str, wire: Wire, asked: Sequence[Asked]) -> list[float]:
    return [wire.ms(_HEALTH if step == FLOOR else one) for one in asked]


def _server(url: str) -> list[psutil.Process]:
    """The processes of the server that listens there, which have a group of their own."""
    port = int(url.rsplit(":", 1)[1])
    listening = {c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    groups = {_group(pid) for pid in listening if pid}
    return [process for process in psutil.process_iter() if _group(process.pid) in groups]


def _group(pid: int) -> int | None:
    """The process group of a process; `None` of one that has ended."""
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def _is_cached(lines: Lines, asked: Asked) -> bool:
    """Whether all servers answer a request from their caches, which they have by now."""
    for _ in range(2):
        answers = [line.ask(asked, "identity") for line in lines.values()]
        if all(answer.status == 200 and b'"is_cached": true' in answer.data for answer in answers):
            return True
    return False


def _is_granted(lines: Lines, asked: Asked) -> bool:
    """Whether a request is given again: it takes a fraction of what it takes without grants.

    What the server of one does behind its answers may fall on the other's time, so that it is looked at again.
    """
    for _ in range(ASKS):
        lines[LAST].ask(asked)
    return any(_is_quick(lines, asked) for _ in range(TRIES))


def _is_quick(lines: Lines, asked: Asked) -> bool:
    without, given = (statistics.median(lines[step].ask(asked).ms for _ in range(3)) for step in (BEFORE, LAST))
    return given < without * 0.4


def _times(wires: Wires, asked: Sequence[Asked], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {step: [] for step in wires}
    steps = tuple(wires)
    for number in range(rounds):
        for place, one in enumerate(asked):
            turn = (number + place) % len(steps)
            for step in (*steps[turn:], *steps[:turn]):
                times[step].append(wires[step].ms(_HEALTH if step == FLOOR else one))
    return times


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(statistics.median(values), 2), "p95": round(cuts[18], 2), "best": round(min(values), 2)}


def _rate(url: str, person: Mapping[str, str], asked: Sequence[Asked]) -> float:
    """Answers a second to eight clients at once, of what has been asked within a grant's life."""
    for one in (*asked, *asked):
        Wire(url, person).ms(one)  # a new connection each, so that each worker is asked
    counts, end = [0] * CLIENTS, time.monotonic() + CLIENT_SECONDS

    def client(number: int) -> None:
        wire = Wire(url, person)
        while time.monotonic() < end:
            for one in asked[number:] or asked:
                wire.ms(one)
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
    print(f"{'':<20}{'in turn':>28}{'in a row':>36}")
    head = f"{'step':<20}{'p50 ms':>9}{'p95 ms':>9}{'of stock':>10}{'p50 ms':>11}{'p95 ms':>9}{'CPU ms':>8}{'best':>8}"
    print(f"{head}{'8 clients: answers/s':>23}{'first ask':>11}")
    stock = results["ms"][STOCK]["p50"]
    for step, row in results["ms"].items():
        alone, rate = results["in_a_row"][step], results["answers_a_second"].get(step, "")
        turn = f"{step:<20}{row['p50']:>9}{row['p95']:>9}{row['p50'] / stock:>10.0%}"
        line = f"{alone['p50']:>11}{alone['p95']:>9}{alone['cpu']:>8}{alone['best']:>8}"
        print(f"{turn}{line}{rate:>23}{results['ms_of_first'][step]['p50']:>11}")
    print(f"a granted answer comes {results['times_faster']} times as fast as stock's in turn with it,", end=" ")
    print(f"and {results['times_faster_in_a_row']} times as fast in a row")
    print(json.dumps({"hits": results}))


def main() -> None:
    """Measure, and print a table and the JSON."""
    with stack() as running:
        show(run(running.env, running.user, running.password, captured(running)))


if __name__ == "__main__":
    main()
