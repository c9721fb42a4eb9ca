"""Runs statements on a source, and says what they take: in turns, warm, and each plan once.

A statement runs as EXPLAIN (ANALYZE), in a transaction that may only read, has an end and is rolled back; its rows stay
on the source. What it takes is the processor time of the server where that can be seen from here, and the time that the
source says else; blocks are noted beside it.

Where the role is a superuser, indexes are hidden from a statement by a change of the catalog that only its own
transaction sees and that is rolled back, so that before and after can be measured in turns. Elsewhere what stands is
measured before an index is built, and after.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import PlanError
from superset_ext.plans.explain import asked, refuse_volatile
from superset_ext.plans.explain import reading as limited
from superset_ext.plans.indexes.clock import clock_of
from superset_ext.plans.indexes.live import Live

WORSE = 1.05  # of what a statement took, from which it is slower
_LEAST_NOISE = 0.002  # seconds
_MOST_ROUNDS = 4  # times as many as were asked for, while noise hides the answer
_IS_SUPERUSER = "SELECT current_setting('is_superuser') = 'on'"
_LIMITS = "SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = '1s'"
_HIDE = "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = ANY (%s::regclass[]::oid[])"
_ONLY_READ = "SET TRANSACTION READ ONLY"
_SEARCH_PATH = "SELECT set_config('search_path', quote_ident(%s) || ',' || current_setting('search_path'), true)"
_PLAN = "EXPLAIN (FORMAT JSON, VERBOSE, COSTS OFF) "
_RUN = "EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS, TIMING OFF) "
_INDEX = re.compile(r'"Index Name": "((?:[^"\\]|\\.)*)"')


class Spent(NamedTuple):
    """What one run of a statement took.

    Attributes:
        seconds: of the processor, or of time where that cannot be seen.
        blocks: that were read, from memory or not.
        cut: it was ended before it was done.
    """

    seconds: float
    blocks: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Sampled:
    """Several runs of one plan of a statement."""

    runs: tuple[Spent, ...]

    @property
    def seconds(self) -> float:
        """Of the quickest run."""
        return min(run.seconds for run in self.runs)

    @property
    def noise(self) -> float:
        """By how much another run may differ that is no quicker or slower."""
        first, second = sorted(run.seconds for run in self.runs)[:2] if len(self.runs) > 1 else (0.0, 0.0)
        return max(second - first, _LEAST_NOISE)

    @property
    def noisy(self) -> bool:
        """Whether more runs would tell more."""
        return len(self.runs) > 1 and self.noise > max(self.seconds * (WORSE - 1), _LEAST_NOISE)

    @property
    def blocks(self) -> int:
        """Of the run with the fewest."""
        return min(run.blocks for run in self.runs)


@dataclass(frozen=True)
class Compared:
    """A statement before and after."""

    live: Live
    before: Sampled
    after: Sampled

    @property
    def noise(self) -> float:
        """Seconds that tell nothing."""
        return max(self.before.noise, self.after.noise)

    @property
    def slower(self) -> bool:
        """By more than a twentieth, beyond noise."""
        return self.after.seconds > self.before.seconds * WORSE + self.noise

    @property
    def quicker(self) -> bool:
        """Likewise."""
        return self.after.seconds + self.noise < self.before.seconds / WORSE

    @property
    def unsure(self) -> bool:
        """Whether it seems slower or quicker, and noise may be why."""
        if any(run.cut for run in (*self.before.runs, *self.after.runs)):
            return False
        seems_slower = self.after.seconds > self.before.seconds * WORSE and not self.slower
        return seems_slower or (self.after.seconds < self.before.seconds / WORSE and not self.quicker)


class Measure:
    """Measures statements on one connection of a source.

    Args:
        connection: of psycopg2; each statement's transaction is rolled back.
        rounds: runs of each side that count, after one that does not.
        seconds: that a run may take.

    Attributes:
        unit: what is compared, in words.
        can_hide: whether indexes can be hidden from a statement.
    """

    def __init__(self, connection: Any, rounds: int, seconds: float) -> None:
        self._connection, self._rounds, self._seconds = connection, rounds, seconds
        with limited(connection, seconds) as cursor:
            cursor.execute(_IS_SUPERUSER)
            self.can_hide = bool(cursor.fetchone()[0])
            self._clock = clock_of(cursor)
        self.unit = "processor time of the server" if self._clock else "time on the source"
        self._samples: dict[tuple[str, str], Sampled] = {}

    def plan(self, live: Live, without: Collection[str] = ()) -> str:
        """A hash of the plan that the statement gets without some indexes.

        Raises:
            PlanError: the source does not plan it, or it calls what may do more than return a value.
        """
        with self._transaction(live, without) as cursor:
            refuse_volatile(cursor, asked(cursor, "", live.sql), "being run")
            cursor.execute(_PLAN + live.sql)
            return hashlib.sha256(json.dumps(cursor.fetchone()[0]).encode()).hexdigest()

    def sampled(self, live: Live, without: Collection[str] = ()) -> Sampled:
        """What the statement takes with the plan that it gets, which is run if it was not yet.

        Raises:
            PlanError: it cannot be run.
        """
        key = live.fingerprint, self.plan(live, without)
        if key not in self._samples:
            self._in_turns(live, {key: without})
            while self._samples[key].noisy and len(self._samples[key].runs) < _MOST_ROUNDS * self._rounds:
                self._in_turns(live, {key: without})
        return self._samples[key]

    def compared(self, live: Live, before: Collection[str], after: Collection[str] = ()) -> Compared:
        """The statement without the indexes `before` and without those of `after`, in turns where both can be had.

        Raises:
            PlanError: it cannot be run.
        """
        keys = [(live.fingerprint, self.plan(live, without)) for without in (before, after)]
        missing = [side for side, key in zip((before, after), keys, strict=True) if key not in self._samples]
        if len(missing) == 2 and keys[0] != keys[1]:
            self._in_turns(live, dict(zip(keys, (before, after), strict=True)))
        compared = Compared(live, self.sampled(live, before), self.sampled(live, after))
        while self.can_hide and compared.unsure and len(compared.after.runs) < _MOST_ROUNDS * self._rounds:
            self._in_turns(live, dict(zip(keys, (before, after), strict=True)))
            compared = Compared(live, self._samples[keys[0]], self._samples[keys[1]])
        return compared

    def again(self, live: Live, known: Sampled) -> Sampled:
        """What the statement takes now, with more runs of the plan that it gets, beside a plan that is gone.

        Raises:
            PlanError: it cannot be run.
        """
        key = live.fingerprint, self.plan(live)
        sampled = self.sampled(live)
        while Compared(live, known, sampled).unsure and len(sampled.runs) < _MOST_ROUNDS * self._rounds:
            sampled = self._samples[key] = Sampled((*sampled.runs, self._run(live, ())))
        return sampled

    def _in_turns(self, live: Live, sides: Mapping[tuple[str, str], Collection[str]]) -> None:
        """Run each side as often as is asked for, once what it reads is in memory; one that does not end in time is
        not run again."""
        firsts = {key: self._run(live, without) for key, without in sides.items() if key not in self._samples}
        self._samples |= {key: Sampled((first,)) for key, first in firsts.items() if first.cut}
        for _ in range(self._rounds):
            for key, without in sides.items():
                runs = self._samples[key].runs if key in self._samples else ()
                if not any(run.cut for run in runs):
                    self._samples[key] = Sampled((*runs, self._run(live, without)))

    @contextmanager
    def _transaction(self, live: Live, without: Collection[str]) -> Iterator[Any]:
        if not without:
            with limited(self._connection, self._seconds) as cursor:
                self._look_in(cursor, live)
                yield cursor
            return
        with self._writing(without) as cursor:
            self._look_in(cursor, live)
            yield cursor

    @contextmanager
    def _writing(self, without: Collection[str]) -> Iterator[Any]:
        """A transaction that sees no index of these, and may only read from there on."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_LIMITS.format(ms=int(self._seconds * 1000)))
                cursor.execute(_HIDE, (list(without),))
                cursor.execute(_ONLY_READ)
                yield cursor
        except psycopg2.errors.QueryCanceled:
            raise
        except psycopg2.Error as error:
            raise PlanError(f"the source does not run it: {first_line(error)}", type(error).__name__) from None
        finally:
            self._connection.rollback()

    def _look_in(self, cursor: Any, live: Live) -> None:
        if live.schema:
            cursor.execute(_SEARCH_PATH, (live.schema,))

    def _run(self, live: Live, without: Collection[str]) -> Spent:
        start = self._clock() if self._clock else 0.0
        try:
            with self._transaction(live, without) as cursor:
                start = self._clock() if self._clock else 0.0
                cursor.execute(_RUN + live.sql)
                spent = self._clock() - start if self._clock else None
                value = cursor.fetchone()[0]
        except psycopg2.errors.QueryCanceled:
            return Spent(self._seconds, cut=True)
        except PlanError as error:
            if error.cause == "QueryCanceled":
                return Spent(self._seconds, cut=True)
            raise
        (top,) = json.loads(value) if isinstance(value, str) else value
        seconds = spent if spent is not None else (top["Planning Time"] + top["Execution Time"]) / 1000
        root = top["Plan"]
        return Spent(seconds, sum(root.get(f"{kind} Blocks", 0) for kind in ("Shared Hit", "Shared Read", "Temp Read")))
