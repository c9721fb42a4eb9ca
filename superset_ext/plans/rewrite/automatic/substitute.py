"""The substitute that rewrites: another text for a chart's statement, by the rules that its dataset is allowed."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from time import monotonic
from typing import Any

from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import attempt
from superset_ext.core.warn_once import warn
from superset_ext.host.substitutes import Posed, Substitution
from superset_ext.monitor.log.fingerprint import MAX_TEXT, Statements, normalised
from superset_ext.plans.postgresql import ENGINE
from superset_ext.plans.rewrite import AUTOMATIC
from superset_ext.plans.rewrite.automatic import kept
from superset_ext.plans.rewrite.automatic.looks import candidates
from superset_ext.plans.rewrite.automatic.pairs import Key, Pairs, State
from superset_ext.plans.rewrite.automatic.proven import hold
from superset_ext.plans.rewrite.automatic.shadow import Job, Shadow, Shown
from superset_ext.plans.rewrite.automatic.switches import Switches, tag
from superset_ext.plans.rewrite.automatic.texts import Place, Text, Texts
from superset_ext.plans.rewrite.rewriting import Rule
from superset_ext.settings import Rewrite, Settings

EVERY_SECONDS = 30.0  # between two looks at what other processes know
WORTH, SAVED_MS = 1.2, 20.0  # a text is used that is so many times as fast, and saves more than parsing it takes
LEAST_MS = 5_000  # that a text may take; or twice what Superset's own takes
_REFUSED_SECONDS = 3600.0  # for which a statement is left alone that could not be compared, or has no other text
_REMEMBERED = 500  # statements


class AutomaticRewrites:
    """Rewrites charts' statements on PostgreSQL sources.

    Args:
        app: Superset's.
        database: the log database.
        begin: has `flush` called before long.
        charts: returns the region of chart data.
        settings: `rewrites`, `rewrites_shadow`, `plans_active`.
        rules: those that there are.
        pairs: what is known of statements.
    """

    def __init__(
        self,
        app: Any,
        database: LogDatabase,
        begin: Callable[[], None],
        charts: Callable[[], Any],
        settings: Settings,
        rules: Sequence[Rule] = AUTOMATIC,
        pairs: Callable[[], Pairs] = lambda: Pairs(WORTH, SAVED_MS),
    ) -> None:
        self._database = database
        self._begin = begin
        self._settings = settings
        self._rules = {rule.__name__: rule for rule in rules}
        self._new_pairs = pairs
        self._switches = Switches(charts)
        self._shadow = Shadow(app, settings.plans_active, self.shown, self.refused)
        reset_on_fork(self)

    def reset(self) -> None:
        """Know nothing: another process's rows are read before anything is rewritten."""
        self._lock = threading.Lock()
        self._pairs = self._new_pairs()
        self._statements = Statements()
        self._texts = Texts(self._rules)
        self._left: OrderedDict[tuple[int, str], tuple[float, str]] = OrderedDict()  # until when (monotonic), and why
        self._ends: deque[kept.End] = deque()  # rules that are off, and are not written yet
        self._next = float("-inf")

    def substitution(self, posed: Posed) -> Substitution | str:
        """See `Substitute`."""
        names = self._allowed(posed)
        if isinstance(names, str):
            return names
        names = candidates(posed.sql, names)
        if not names:
            return "no rule has anything to look at"
        fingerprint = self._fingerprint(posed.sql, posed.database_id)
        if reason := self._left_alone(posed.dataset_id or 0, fingerprint):
            return reason
        job = self._job(posed, fingerprint, names)
        states = self._pairs.states(job.dataset_id, fingerprint)
        if not any(state == "used" for state, _ in states.values()):
            return self._not_used(job, states)
        text = self._texts.text(_place(posed), posed.sql, names)
        if text is None:
            self._shadow.put(job)
            return "its tables are not known yet"
        return self._proven(posed, job, text) if text.rules else "no rule applies"

    def _not_used(self, job: Job, states: Mapping[Key, tuple[State, str]]) -> str:
        """Have a statement compared that is not known, or not enough; it is not parsed while somebody waits."""
        trying = [key for key, (state, _) in states.items() if state == "trying"]
        if trying or not states:
            first = all(map(self._pairs.superset_goes_first, trying))
            self._shadow.put(replace(job, superset_first=first))
            return "it is not compared yet"
        return next(reason for _, reason in states.values())

    def _proven(self, posed: Posed, job: Job, text: Text) -> Substitution | str:
        """The text, if it has been compared and may be used now."""
        key = Key(job.dataset_id, job.fingerprint, text.rules)
        state, reason = self._pairs.state(key)
        if state != "used":
            return self._not_used(job, {key: (state, reason)})
        if reason := self._switches.forbids(job.dataset_id, text.rules):
            return reason
        ms = max(LEAST_MS, int(2 * self._pairs.stock_ms(key)))
        before, tags = partial(hold, relations=text.relations, ms=ms), frozenset({tag(job.dataset_id)})
        return Substitution(text.sql, text.rules, before, text.below, tags=tags, note=(key, job))

    def answered(self, posed: Posed, substitution: Substitution) -> None:
        """See `Substitute`. One of so many is compared."""
        key, job = substitution.note
        self._pairs.used(key, job.database_id)
        self._begin()
        if random.random() * self._settings.rewrites_shadow < 1:  # noqa: S311  (a sample)
            self._shadow.put(job)

    def failed(self, posed: Posed, substitution: Substitution, reason: str) -> None:
        """See `Substitute`. The statement is left as it is for a day; or compared anew, if its tables were."""
        key, job = substitution.note
        if reason == "Redefined":
            self._texts.forget(_place(posed))
            self._pairs.again(key, job.database_id)
        else:
            self._pairs.ended(key, job.database_id, f"Superset's own statement had to be sent ({reason})", "failures")
        self._begin()

    def shown(self, job: Job, shown: Shown) -> None:
        """Both texts were run."""
        self._texts.remember((job.database_id, job.catalog, job.schema), shown.relations)
        if shown.same is None:
            self.refused(job, "no rule applies")
            return
        key = Key(job.dataset_id, job.fingerprint, shown.rewriting.applied)
        if not shown.same:
            self._differs(key, job, shown)
        elif not shown.sure:
            self._pairs.ended(key, job.database_id, "a LIMIT chooses among its rows")
        else:
            self._pairs.compared(key, job.database_id, shown.stock_ms, shown.rewritten_ms)
        self._begin()

    def refused(self, job: Job, reason: str) -> None:
        """Both texts could not be run, or there is no other one: the statement is left alone for a while."""
        with self._lock:
            self._left[job.dataset_id, job.fingerprint] = (monotonic() + _REFUSED_SECONDS, reason)
            if len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)

    def _differs(self, key: Key, job: Job, shown: Shown) -> None:
        """End the rules for the dataset: here, in the log, in Redis; and drop what they have answered."""
        self._pairs.ended(key, job.database_id, "it gave other rows", "differences")
        original, other = (normalised(sql, ENGINE)[:MAX_TEXT] for sql in (job.sql, shown.rewriting.sql))
        # The rows first: what lies in Redis goes after a while, and must not be all that says so.
        self._ends.append(kept.End(key, job.database_id, original, other))
        attempt(self._write_ends)
        self._switches.note(key.dataset_id, key.rules)
        warn(
            f"rewrite {key.dataset_id}", "%s gave other rows for dataset %s and is switched off there; see superset "
            "perf rewrite --automatic", ", ".join(key.rules), key.dataset_id,
        )  # fmt: skip

    def _write_ends(self) -> None:
        while self._ends:
            kept.switch_off(self._database, self._ends[0])
            self._ends.popleft()

    def flush(self) -> None:
        """Write what was counted, and hear what other processes know. The recorder's thread calls it.

        Raises:
            LogUnavailable: the log database does not answer; what is owed stays owed.
        """
        self._switches.retry()
        self._write_ends()
        if owed := self._pairs.owed():
            kept.add(self._database, owed)
            self._pairs.written(owed)
        if monotonic() >= self._next:
            pairs, off = kept.known(self._database)
            self._pairs.heard(pairs)
            self._switches.heard(off)
            self._next = monotonic() + EVERY_SECONDS

    def _allowed(self, posed: Posed) -> tuple[str, ...] | str:
        """The rules that may be used for a dataset; or why none."""
        rule = next((rule for rule in self._settings.rewrites if _names(rule, posed)), None)
        if posed.dataset_id is None or rule is None:
            return "no rule of the settings names its dataset"
        if posed.engine.partition("+")[0] != ENGINE:
            return "only statements of PostgreSQL are rewritten"
        if posed.user_id is None and posed.database.impersonate_user:
            return "its database is asked as each user, and a guest is none"
        allowed = self._switches.allowed(posed.dataset_id, rule.rules)
        if allowed is None:
            self._begin()
            return "what other processes know is not read yet"
        return allowed

    def _fingerprint(self, sql: str, database_id: int) -> str:
        with self._lock:
            return self._statements.of(sql, ENGINE, database_id).fingerprint

    def _left_alone(self, dataset_id: int, fingerprint: str) -> str:
        until, reason = self._left.get((dataset_id, fingerprint), (0.0, ""))
        return reason if monotonic() < until else ""

    def _job(self, posed: Posed, fingerprint: str, names: Sequence[str]) -> Job:
        rules = tuple(self._rules[name] for name in names)
        return Job(
            posed.sql, fingerprint, posed.dataset_id or 0, posed.database_id, posed.catalog, posed.schema,
            posed.user_id, rules,
        )  # fmt: skip


def _place(posed: Posed) -> Place:
    return posed.database_id, posed.catalog, posed.schema


def _names(rule: Rewrite, posed: Posed) -> bool:
    """Whether a rule of the settings is about a chart's dataset."""
    return _is(rule.dataset, posed.dataset_id, posed.dataset) and _is(rule.database, None, posed.database_name)


def _is(pattern: int | str | None, number: int | None, name: str | None) -> bool:
    if pattern is None or isinstance(pattern, int):
        return pattern in (None, number)
    return fnmatchcase((name or "").casefold(), pattern.casefold())
