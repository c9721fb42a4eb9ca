"""What is common to substitutes whose texts are compared with Superset's own: from a first run to the end of a rule."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from time import monotonic
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.signals import attempt
from superset_ext.core.warn_once import warn
from superset_ext.host.substitutes import Posed, Substitution
from superset_ext.monitor.log.fingerprint import MAX_TEXT, Statements, normalised
from superset_ext.plans.compared.kept import Books, End
from superset_ext.plans.compared.pairs import Key, Pairs, State
from superset_ext.plans.compared.shadow import Job, Other, Shadow, Shown
from superset_ext.plans.compared.switches import Switches

EVERY_SECONDS = 30.0  # between two looks at what other processes know
LEAST_MS = 5_000  # that a text may take; or twice what Superset's own takes
_REFUSED_SECONDS = 3600.0  # for which a statement is left alone that could not be compared, or has no other text
_REMEMBERED = 500  # statements


class ComparedTexts(ABC):
    """A substitute that is asked once its texts have been compared; see `host.substitutes.Substitute`.

    Args:
        app: Superset's.
        begin: has `flush` called before long.
        charts: returns the region of chart data.
        books: its tables.
        kind: a word for it, by which it is known in Redis.
        share: of how many answers one is compared.
        active: queries that may be under way on a source.
        pairs: makes what is known of statements.
    """

    def __init__(
        self,
        app: Any,
        begin: Callable[[], None],
        charts: Callable[[], ChartCache],
        books: Books,
        kind: str,
        share: int,
        active: int,
        pairs: Callable[[], Pairs],
    ) -> None:
        self._begin = begin
        self._books = books
        self._share = share
        self._new_pairs = pairs
        self._switches = Switches(kind, charts)
        self._shadow = Shadow(app, active, self.made, self.shown, self.refused)
        reset_on_fork(self)

    def reset(self) -> None:
        """Know nothing: another process's rows are read before anything is answered."""
        self._lock = threading.Lock()
        self._pairs = self._new_pairs()
        self._statements = Statements()
        self._left: OrderedDict[tuple[int, str], tuple[float, str]] = OrderedDict()  # until when (monotonic), and why
        self._ends: deque[End] = deque()  # rules that are off, and are not written yet
        self._next = float("-inf")

    @abstractmethod
    def substitution(self, posed: Posed) -> Substitution | str:
        """See `Substitute`."""

    @abstractmethod
    def made(self, cursor: Any, job: Job) -> Other:
        """The other text of a statement, within the transaction that compares both.

        Raises:
            PlanError: both cannot be compared.
        """

    @abstractmethod
    def scope(self, job: Job) -> int:
        """What the rules of its text are switched off for, by id, where it differs."""

    @abstractmethod
    def differed(self, job: Job, rules: tuple[str, ...]) -> str:
        """What an administrator is told where it differed."""

    def put(self, job: Job, states: Mapping[Key, tuple[State, str]]) -> str:
        """Have a statement compared that is not known, or not enough; it is not parsed while somebody waits."""
        trying = [key for key, (state, _) in states.items() if state == "trying"]
        if trying or not states:
            first = all(map(self._pairs.superset_goes_first, trying))
            self._shadow.put(replace(job, superset_first=first))
            return "it is not compared yet"
        return next(reason for _, reason in states.values())

    def unproven(self, job: Job, key: Key) -> str:
        """Why a text may not be used now, as far as was compared and is switched off; empty, if it may."""
        state, reason = self._pairs.state(key)
        if state != "used":
            return self.put(job, {key: (state, reason)})
        return self._switches.forbids(self.scope(job), key.rules)

    def limit_ms(self, key: Key) -> int:
        """Milliseconds that a text may take."""
        return max(LEAST_MS, int(2 * self._pairs.stock_ms(key)))

    def tags(self, job: Job, key: Key) -> frozenset[str]:
        """What its answers carry, so that they can be dropped."""
        return frozenset(self._switches.tag(self.scope(job), rule) for rule in key.rules)

    def answered(self, _posed: Posed, substitution: Substitution) -> None:
        """See `Substitute`. One of so many is compared."""
        key, job = substitution.note
        self._pairs.used(key, job.database_id)
        self._begin()
        if random.random() * self._share < 1:  # noqa: S311  (a sample)
            self._shadow.put(job)

    def again(self, key: Key, job: Job) -> None:
        """Compare anew before a text is used again."""
        self._pairs.again(key, job.database_id)
        self._begin()

    def unanswered(self, key: Key, job: Job, reason: str) -> None:
        """A text failed: the statement is left as it is for a day."""
        self._pairs.ended(key, job.database_id, f"Superset's own statement had to be sent ({reason})", "failures")
        self._begin()

    def shown(self, job: Job, shown: Shown) -> None:
        """Both texts were run, or there is no other one."""
        if shown.same is None:
            self.refused(job, "no rule applies")
            return
        key = Key(job.dataset_id, job.fingerprint, shown.other.rules)
        if not shown.same:
            self._differs(key, job, shown)
        elif not shown.sure:
            self._pairs.ended(key, job.database_id, "a LIMIT chooses among its rows")
        else:
            self._pairs.compared(key, job.database_id, shown.stock_ms, shown.other_ms)
        self._begin()

    def refused(self, job: Job, reason: str) -> None:
        """Both texts could not be run, or there is no other one: the statement is left alone for a while."""
        with self._lock:
            self._left[job.dataset_id, job.fingerprint] = (monotonic() + _REFUSED_SECONDS, reason)
            if len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)

    def _differs(self, key: Key, job: Job, shown: Shown) -> None:
        """End the rules: here, in the log, in Redis; and drop what they have answered."""
        self._pairs.ended(key, job.database_id, "it gave other rows", "differences")
        original, other = (normalised(sql, job.engine)[:MAX_TEXT] for sql in (job.sql, shown.other.sql))
        # The rows first: what lies in Redis goes after a while, and must not be all that says so.
        self._ends.append(End(key, job.database_id, original, other))
        attempt(self._write_ends)
        self._switches.note(self.scope(job), key.rules)
        warn(f"compared {self.scope(job)} {key.rules}", "%s", self.differed(job, key.rules))

    def _write_ends(self) -> None:
        while self._ends:
            self._books.switch_off(self._ends[0])
            self._ends.popleft()

    def flush(self) -> None:
        """Write what was counted, and hear what other processes know. The recorder's thread calls it.

        Raises:
            LogUnavailable: the log database does not answer; what is owed stays owed.
        """
        self._switches.retry()
        self._write_ends()
        if owed := self._pairs.owed():
            self._books.add(owed)
            self._pairs.written(owed)
        if monotonic() >= self._next:
            pairs, off = self._books.known()
            self._pairs.heard(pairs)
            self._switches.heard(off)
            self._next = monotonic() + EVERY_SECONDS

    def fingerprint(self, posed: Posed) -> str:
        """What stands for a statement without its values."""
        with self._lock:
            return self._statements.of(posed.sql, _engine(posed), posed.database_id).fingerprint

    def left_alone(self, dataset_id: int, fingerprint: str) -> str:
        """Why a statement is left alone; empty, if it is not."""
        until, reason = self._left.get((dataset_id, fingerprint), (0.0, ""))
        return reason if monotonic() < until else ""


def job_of(posed: Posed, fingerprint: str, note: Any) -> Job:
    """A statement as one that is to be compared."""
    return Job(
        posed.sql, fingerprint, posed.dataset_id or 0, posed.database_id, posed.catalog, posed.schema, posed.user_id,
        note, engine=_engine(posed),
    )  # fmt: skip


def _engine(posed: Posed) -> str:
    return posed.engine.partition("+")[0]


def names(rule: Any, posed: Posed) -> bool:
    """Whether a rule of the settings, which names a dataset, a database or both, is about a chart's dataset."""
    return _is(rule.dataset, posed.dataset_id, posed.dataset) and _is(rule.database, None, posed.database_name)


def _is(pattern: int | str | None, number: int | None, name: str | None) -> bool:
    if pattern is None or isinstance(pattern, int):
        return pattern in (None, number)
    return fnmatchcase((name or "").casefold(), pattern.casefold())
