"""A random walk of threads that mark, write, commit and ask, and what is wrong about what they were answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from sqlalchemy.exc import DBAPIError

from superset_ext.grants.metadata_stamps import MetadataStamps
from testing.pooler import Pooler

THREADS = 6
WATCHED = "UPDATE ab_user_role SET role_id = role_id + 1"
OTHER = "INSERT INTO elsewhere VALUES (1)"
_ENDS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'writer'
"""


@dataclass(frozen=True)
class Answer:
    """Whether a mark held, and the moments at which it was begun, had, asked about and answered."""

    mark: Any
    holds: bool
    marking: float
    marked: float
    asked: float
    answered: float


@dataclass
class Commits:
    """When the watched table was written, by which a mark that held can be judged."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def write(self, cursor: Any) -> None:
        """Commit a write."""
        began = time.monotonic()
        cursor.execute(WATCHED)
        self.spans.append((began, time.monotonic()))

    def wrong(self, answer: Answer) -> str | None:
        """What is wrong about an answer, once all have been written."""
        if answer.holds and any(answer.marked <= began and ended <= answer.asked for began, ended in self.spans):
            return "a change was missed"
        ends = any(ended >= answer.marking and began <= answer.answered for began, ended in self.spans)
        return None if answer.holds or ends else "nothing has ended it"


class Asker:
    """A thread's share of a random walk.

    Args:
        number: of the thread, and of what it draws.
        stamps: those of all threads.
        url: of the database, past the pooler.
        commits: those of all threads.
    """

    def __init__(self, number: int, stamps: MetadataStamps, url: str, commits: Commits) -> None:
        self._draw = random.Random(number)
        self._stamps = stamps
        self._url = url
        self._commits = commits
        self._marks: list[tuple[Any, float, float]] = []
        self.answers: list[Answer] = []
        self.crossed: list[Any] = []
        self.counts = {"held": 0, "ended": 0, "unknown": 0, "begun": 0}

    def walk(self, steps: int, goes_on: Callable[[], object] = bool) -> Asker:
        """Take so many steps."""
        with closing(psycopg2.connect(self._url, application_name="writer")) as writer:
            writer.autocommit = True
            for _ in range(steps):
                goes_on()
                self._step(writer.cursor())
        return self

    def _step(self, writer: Any) -> None:
        match self._draw.choices(("mark", "ask", "other", "watched", "value", "superset"), (4, 10, 3, 1, 2, 2))[0]:
            case "mark":
                self._mark()
            case "ask":
                self._ask()
            case "other":
                writer.execute(OTHER)
            case "watched":
                self._mark()
                self._commits.write(writer)
                self._ask()
            case "value":
                self._value()
            case "superset":
                self._superset()

    def _mark(self) -> None:
        began = time.monotonic()
        mark = self._stamps.now()
        if mark is not None:
            self._marks = [*self._marks[-5:], (mark, began, time.monotonic())]

    def _ask(self) -> None:
        if not self._marks:
            return
        mark, marking, marked = self._marks[-1] if self._draw.random() < 0.5 else self._draw.choice(self._marks)
        asked = time.monotonic()
        early = self._stamps.begin() if self._draw.random() < 0.7 else None
        self.counts["begun"] += early is not None
        if early is not None and self._draw.random() < 0.1:
            early.drop()
            return
        holds = self._stamps.holds(mark, early=early)
        self.counts[{True: "held", False: "ended", None: "unknown"}[holds]] += 1
        if holds is not None:
            self.answers.append(Answer(mark, holds, marking, marked, asked, time.monotonic()))

    def _value(self) -> None:
        """Ask something of which the answer is known, over the connections of all others."""
        value = self._draw.random()
        try:
            row = self._stamps._connections().send("SELECT %s::float8", (value,)).row(5)
        except (psycopg2.Error, TimeoutError):
            return
        if row != (value,):
            self.crossed.append((value, row))

    def _superset(self) -> None:
        """Ask as Superset does, by other connections of the pooler's."""
        with suppress(DBAPIError), self._stamps._engine().connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM ab_user_role")


class Disturber:
    """Ends what is under way, now and then, as an administrator or a crash does.

    Args:
        pooler: whose connections it ends.
        url: of the database, past the pooler.
        seed: of what it draws.
    """

    def __init__(self, pooler: Pooler, url: str, seed: int) -> None:
        self._pooler = pooler
        self._url = url
        self._lock = threading.Lock()
        self._draw = random.Random(seed)
        self._steps = 0
        self.counts = dict.fromkeys(("ended", "reconnected", "paused", "restarted"), 0)

    def __call__(self) -> None:
        """Count a step, and disturb at every fiftieth."""
        with self._lock:
            self._steps += 1
            if self._steps % 50 == 0:
                how = self._draw.choice([name for name in self.counts if self._may(name)])
                getattr(self, f"_{how}")()
                self.counts[how] += 1

    def _may(self, how: str) -> bool:
        return how != "paused" or self._pooler.mode != "session"  # that waits for clients to leave

    def _ended(self) -> None:
        with closing(psycopg2.connect(self._url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(_ENDS)

    def _reconnected(self) -> None:
        self._pooler.order("RECONNECT")

    def _paused(self) -> None:
        self._pooler.order("PAUSE")
        self._pooler.order("RESUME")

    def _restarted(self) -> None:
        self._pooler.stop()
        self._pooler.start()


def walked(
    stamps: MetadataStamps, url: str, steps: int, seed: int, goes_on: Callable[[], object] = bool
) -> dict[str, int]:
    """What came of a random walk of all threads, in which nothing was wrong.

    Args:
        stamps: those of all threads.
        url: of the database, past the pooler.
        steps: of all threads together.
        seed: of what they draw.
        goes_on: called before each step.
    """
    commits = Commits()
    askers = [Asker(seed * 1000 + number, stamps, url, commits) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda asker: asker.walk(steps // THREADS, goes_on), askers):
            pass
    assert [pair for asker in askers for pair in asker.crossed] == []
    answers = [answer for asker in askers for answer in asker.answers]
    assert [(wrong, answer) for answer in answers if (wrong := commits.wrong(answer))] == []
    return {name: sum(asker.counts[name] for asker in askers) for name in askers[0].counts}
