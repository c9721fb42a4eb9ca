"""No read that began after `changed` had returned gets older data, whatever happens in between.

Several processes read, query, fill, change, lose their leases, are killed and cut off, in an order that Hypothesis
chooses; entries and stamps expire, are evicted and flushed, and the
server's clock jumps. `FRESHNESS_STEPS=100000` asks for a long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from superset_ext.embedded.valkey import Valkey
from testing import shifted_clock
from testing.machine import READS, TABLES, Worker
from testing.regions import client_of
from testing.warming import until

STEPS = int(os.environ.get("FRESHNESS_STEPS", "3000"))
FEWER = min(STEPS, 1200)  # in `make test`
PER_EXAMPLE = 250
WORKERS = 3
BUSY = 12  # requests under way, at most
Shift = Callable[[int], None]
PICK = st.integers(0, 1000)
VERBS = [
    *["begin"] * 80, *["query"] * 40, *["fill"] * 40, *["write"] * 8, *["change"] * 8, *["end"] * 4, *["evict"] * 4,
    "lose", "shift", "shift", "shift", "cut_off", "kill",
]  # fmt: skip


@dataclass
class Session:
    """A request under way: what it must at least see, and what its query has read."""

    worker: int
    key: str
    floor: dict[str, int]
    state: str = "asked"
    read: dict[str, int] = field(default_factory=dict)


@dataclass
class Counts:
    """Of a whole run: that it did what it says."""

    steps: int = 0
    hits: int = 0
    misses: int = 0
    changes: int = 0
    kills: int = 0
    losses: int = 0
    jumps: int = 0
    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Violation(BaseException):
    """A read showed what it must not. Hypothesis would try an `Exception` again, though it depends on the moment."""


class Machine(RuleBasedStateMachine):
    """The source of truth: versions of tables, and which of them every later read must see."""

    url = ""
    broken: str | None = None
    shift_clock: Shift | None = None
    workers: list[Worker] = []  # noqa: RUF012  (shared by all examples, since processes are dear)
    counts = Counts()

    def __init__(self) -> None:
        super().__init__()
        client_of(self.url).delete(
            *[key for key in client_of(self.url).keys("chart_*") if b"~stamps" not in key] or ["-"]
        )
        self.versions = dict.fromkeys(TABLES, 0)
        self.floors = dict.fromkeys(TABLES, 0)
        self.sessions: dict[int, Session] = {}
        self.changing: dict[int, tuple[int, str, int]] = {}

    _next = 0

    def number(self) -> int:
        Machine._next += 1
        return Machine._next

    def listen(self, seconds: float = 0.0) -> None:
        for place, worker in enumerate(self.workers):
            for message in worker.hear(seconds):
                self.heard(place, message)

    def heard(self, place: int, message: Any) -> None:
        if message.kind == "changed":
            _, table, version = self.changing.pop(message.session, (0, "", 0))
            if table and message.value:
                self.floors[table] = max(self.floors[table], version)
                self.counts.changes += 1
            return
        session = self.sessions.get(message.session)
        if session is None:
            return
        if message.kind == "hit":
            del self.sessions[message.session]
            self.counts.hits += 1
            old = {table: (seen, session.floor[table]) for table, seen in message.value.items()
                   if seen < session.floor[table]}  # fmt: skip
            if old:
                self.counts.violations.append(f"{session.key} showed (seen, at least) {old}")
                raise Violation(self.counts.violations[-1])
        elif message.kind == "miss":
            session.state = "missed"
            self.counts.misses += 1
        elif message.kind == "error":
            self.counts.errors.append(message.value)
            raise Violation(f"a request of {session.key} raised {message.value}")
        else:
            self.sessions.pop(message.session, None)

    def answered(self, unless: int = 0) -> bool:
        """Whether all that was asked is answered, but for so much; a worker may be late, and is waited for."""
        self.listen()
        return (
            bool(self.counts.violations or self.counts.errors)
            or sum(session.state == "asked" for session in self.sessions.values()) + len(self.changing) <= unless
        )

    def some(self, pick: int, *states: str) -> tuple[int, Session] | None:
        self.listen()
        sessions = [(number, session) for number, session in self.sessions.items() if session.state in states]
        return sessions[pick % len(sessions)] if sessions else None

    def begin(self, place: int, key: str, forced: bool) -> None:
        self.listen()
        place %= len(self.workers)
        if len(self.sessions) > BUSY:
            until(lambda: self.answered(BUSY // 2), 300)
            self.query(place)
            self.fill(place, "long")
            return
        number = self.number()
        self.sessions[number] = Session(place, key, dict(self.floors))
        self.workers[place].tell(number, "begin", key, forced)
        for message in self.workers[place].hear(0.01):
            self.heard(place, message)

    def query(self, pick: int) -> None:
        """The query of a miss runs: it sees what is committed now."""
        if chosen := self.some(pick, "missed"):
            session = chosen[1]
            session.read = {table: self.versions[table] for table in READS[session.key]}
            session.state = "read"

    def fill(self, pick: int, lives: str) -> None:
        if chosen := self.some(pick, "read"):
            number, session = chosen
            session.state = "filling"
            self.workers[session.worker].tell(number, "fill", session.read, lives)
            for message in self.workers[session.worker].hear(0.01):
                self.heard(session.worker, message)

    def end(self, pick: int, how: str) -> None:
        """A query fails, or its owner is lost without a word."""
        if chosen := self.some(pick, "missed", "read"):
            number, session = chosen
            session.state = "ending"
            self.workers[session.worker].tell(number, how)

    def write(self, table: str) -> None:
        """Somebody commits to the source; nobody says so yet."""
        self.versions[table] += 1

    def change(self, place: int, table: str) -> None:
        """Somebody says so."""
        number, place = self.number(), place % len(self.workers)
        self.changing[number] = (place, table, self.versions[table])
        self.workers[place].tell(number, "change", table)
        for message in self.workers[place].hear(0.05):
            self.heard(place, message)

    def evict(self, key: str) -> None:
        client_of(self.url).delete(f"chart_{key}")

    def lose(self, how: str) -> None:
        """Redis loses its stamps, as by eviction, by a hand or by FLUSHDB."""
        self.counts.losses += 1
        client = client_of(self.url)
        if how == "all":
            client.flushdb()
        elif how == "one":
            client.hdel("chart_~stamps", "table:1:public.a")
        else:
            client.delete("chart_~stamps")

    def shift(self, seconds: int) -> None:
        """The server's clock jumps."""
        if self.shift_clock is not None:
            self.counts.jumps += 1
            self.shift_clock(seconds)

    def cut_off(self, kind: str) -> None:
        """Connections are lost, as they are when a network hiccups."""
        client_of(self.url).execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def kill(self, place: int) -> None:
        """A process ends in the middle of everything."""
        self.counts.kills += 1
        place %= len(self.workers)
        self.workers[place].kill()
        self.sessions = {n: session for n, session in self.sessions.items() if session.worker != place}
        self.changing = {n: change for n, change in self.changing.items() if change[0] != place}
        self.workers[place] = Worker(self.url, self.broken)

    @rule(verb=st.sampled_from(VERBS), pick=PICK, what=st.integers(0, 59))
    def step(self, verb: str, pick: int, what: int) -> None:
        self.counts.steps += 1
        key, table = sorted(READS)[what % len(READS)], TABLES[what % len(TABLES)]
        if verb == "begin":
            self.begin(pick, key, forced=what % 15 == 0)
        elif verb == "query":
            self.query(pick)
        elif verb == "fill":
            self.fill(pick, "short" if what % 5 == 0 else "long")
        elif verb == "end":
            self.end(pick, "lose" if what % 6 == 0 else "fail")
        elif verb == "write":
            self.write(table)
        elif verb == "change":
            self.change(pick, table)
        elif verb == "evict":
            self.evict(key)
        elif verb == "lose":
            self.lose(("key", "key", "one", "all")[what % 4])
        elif verb == "shift":
            self.shift((0, 0, 0, 2, 5, 5, 10, 10, 20, 3600)[what % 10])
        elif verb == "cut_off":
            self.cut_off("normal" if what % 2 else "pubsub")
        else:
            self.kill(pick)

    def teardown(self) -> None:
        """Let all that is under way end, and look at what it says."""
        until(self.answered, 300)
        for number, session in list(self.sessions.items()):
            if session.state in ("missed", "read"):
                self.workers[session.worker].tell(number, "fail")
        self.sessions.clear()
        self.changing.clear()


@dataclass
class Server:
    """A server, and what puts its clock forward and back where that can be done."""

    valkey: Valkey
    shift: Shift | None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("machine")
    if shifted_clock.can_shift():
        made = Server(*shifted_clock.start(directory))
    else:
        made = Server(Valkey(directory).start(), None)
    yield made
    made.valkey.stop()


def run(server: Server, steps: int, counts: Counts, broken: str | None = None) -> None:
    """Run the machine for about so many steps, and count them.

    Raises:
        Violation: a read showed what it must not, or failed.
    """
    redis.Redis(port=server.valkey.port).flushall()
    url = f"redis://127.0.0.1:{server.valkey.port}"
    shift = staticmethod(server.shift) if server.shift else None
    workers = [Worker(url, broken) for _ in range(WORKERS)]
    kind = type(
        "Run", (Machine,), {"url": url, "broken": broken, "workers": workers, "counts": counts, "shift_clock": shift}
    )
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            kind,
            settings=settings(
                max_examples=max(1, steps // PER_EXAMPLE),
                stateful_step_count=PER_EXAMPLE,
                deadline=None,
                database=None,
                derandomize=False,
                phases=[Phase.generate],  # what depends on the moment cannot be shrunk
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for worker in workers:
            worker.kill()


THOROUGH = pytest.mark.thorough  # what is seldom seen takes long to be seen; the others show that the machine looks


@pytest.mark.parametrize("steps", [FEWER, pytest.param(STEPS, marks=THOROUGH)], ids=["fewer", "all"])
def test_no_read_after_changed_gets_older_data(server: Server, steps: int) -> None:
    """Intent: invariant 3, over processes that are killed, cut off and late, over lost stamps and a clock that
    jumps.
    """
    counts = Counts()
    while not counts.kills or min(counts.steps, 12 * min(counts.hits, counts.misses, counts.changes)) < steps / 4:
        assert counts.steps < 10 * STEPS, f"it does not do what it says: {counts}"
        run(server, steps, counts)
    print(counts)


@pytest.mark.parametrize(
    "broken",
    [
        "stamps",
        *(pytest.param(name, marks=THOROUGH) for name in ("fence", "as_of")),
        *(pytest.param(name, marks=pytest.mark.marathon) for name in ("era", "clock")),
    ],
)
def test_a_broken_protocol_is_found(server: Server, broken: str) -> None:
    """Intent: the machine looks where it hurts."""
    counts = Counts()
    if broken == "clock" and server.shift is None:
        pytest.skip("no C compiler to make a clock that can be put forward")
    with pytest.raises((Violation, Flaky)):  # what depends on the moment may be gone when it is looked at again
        run(server, 40_000, counts, broken)
    assert counts.violations and not counts.errors
