"""The circuit by itself: when it opens, who closes it, and what it costs."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from superset_ext.cache.redis.circuit import Circuit, State, circuit
from superset_ext.errors import StoreUnavailable

GONE = StoreUnavailable("Redis at nowhere failed; check that it runs")


class Server:
    """What a probe asks."""

    def __init__(self) -> None:
        self.up = False
        self.asked = threading.Event()

    def probe(self) -> None:
        self.asked.set()
        if not self.up:
            raise GONE


def opened(failures: int = 3, reset: float = 0.01) -> tuple[Circuit, Server]:
    circuit, server = Circuit("Redis at nowhere", failures, reset), Server()
    for _ in range(failures):
        circuit.failed(GONE, server.probe)
    return circuit, server


def until(circuit: Circuit, state: State) -> None:
    end = time.monotonic() + 60
    while circuit.state is not state:
        assert time.monotonic() < end
        time.sleep(0.002)


def test_it_opens_after_failures_in_a_row() -> None:
    """Intent: one success in between begins the count anew."""
    circuit, server = Circuit("Redis at nowhere", 3, 3600), Server()
    for _ in range(2):
        circuit.failed(GONE, server.probe)
    circuit.succeeded()
    for _ in range(2):
        circuit.failed(GONE, server.probe)
    circuit.check()
    circuit.failed(GONE, server.probe)
    with pytest.raises(StoreUnavailable):
        circuit.check()
    assert (circuit.opened, circuit.failed_calls, circuit.refused_calls) == (1, 5, 1)


def test_an_open_one_reaches_for_nothing() -> None:
    """Intent: a page with a hundred reads is not slowed by a server that is away."""
    circuit, server = opened(reset=3600)
    before = set(threading.enumerate())
    for _ in range(1000):
        with pytest.raises(StoreUnavailable):
            circuit.check()
    assert (circuit.failed_calls, circuit.refused_calls) == (3, 1000)
    assert set(threading.enumerate()) <= before
    assert not server.asked.is_set()


def test_it_asks_by_itself_and_half_opens() -> None:
    """Intent: no call is needed to find out; a failure then opens it at once, a success closes it."""
    circuit, server = opened()
    assert server.asked.wait(60)
    assert circuit.state is State.OPEN
    server.up = True
    until(circuit, State.HALF_OPEN)
    circuit.check()
    server.up = False
    circuit.failed(GONE, server.probe)
    assert circuit.state is State.OPEN
    server.up = True
    until(circuit, State.HALF_OPEN)
    circuit.succeeded()
    assert circuit.state is State.CLOSED


def test_late_failures_start_no_second_probe() -> None:
    """Intent: calls that were under way when it opened do not each start a thread."""
    circuit, server = opened(reset=3600)
    before = set(threading.enumerate())
    for _ in range(10):
        circuit.failed(GONE, server.probe)
    assert set(threading.enumerate()) <= before
    assert circuit.opened == 1


def test_a_server_has_one() -> None:
    """Intent: all regions on it share what one has found out."""
    name = uuid.uuid4().hex
    assert circuit(name, 3, 1.0) is circuit(name, 3, 1.0)
