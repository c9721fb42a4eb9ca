"""Tries indexes one by one on the source: builds each, measures what it changes, and keeps it only if it helps.

An index is kept if the statements whose plans it changes take less in all, and none takes more than before the first
index by over a twentieth, beyond noise. Costs of the planner promise neither.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from superset_ext.core.amount import amount
from superset_ext.errors import PlanError
from superset_ext.plans.indexes.building import WAIT_SECONDS, Named, build, drop, refusal
from superset_ext.plans.indexes.live import Live
from superset_ext.plans.indexes.measuring import Compared, Measure, Sampled
from superset_ext.plans.one_select import one_select
from superset_ext.plans.postgresql import ENGINE


@dataclass(frozen=True, slots=True)
class Begun:
    """An index is about to be built; write its name down, since a build may be broken off."""

    item: Named


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an index.

    Attributes:
        kept: it stands, and is marked.
        reason: why, in words.
        saved: seconds of all calls of the log, in `Measure.unit`.
        changed: the statements whose plans it changed: before the first index, and with it.
        left: it is to go and could not be dropped.
    """

    item: Named
    kept: bool
    reason: str
    saved: float = 0.0
    changed: tuple[Compared, ...] = ()
    left: bool = False


Step = Begun | Verdict


@dataclass
class _Seen:
    """A statement so far: its plan and what it took before the first index, and the same now."""

    first: Sampled | None = None
    last: Sampled | None = None


@dataclass
class Trial:
    """The trial of a set of indexes.

    Args:
        connection: of psycopg2, with a role that may build; not within a transaction.
        reach: the fingerprints that could use an index; those are measured before it is built, where it cannot be
            hidden.
        note: what stands in the comments of what is built.
    """

    connection: Any
    measure: Measure
    lives: Sequence[Live]
    reach: Mapping[Named, Collection[str]]
    note: str
    wait: float = WAIT_SECONDS
    notes: list[str] = field(default_factory=list)
    kept: list[Named] = field(default_factory=list)
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def steps(self, items: Sequence[Named]) -> Generator[Step]:
        """Try the indexes in this order; then again those that were not kept, if others were kept after them: an index
        may help, or harm, only beside another.

        Where this is closed before its end, the index on which nothing is decided yet is dropped, and the others stay.

        Raises:
            Exception: the source is lost.
        """
        self._plans()
        rejected: list[tuple[Named, int]] = []
        for item in items:
            for step in self._tried(item):
                yield step
                if isinstance(step, Begun):
                    rejected.append((item, len(self.kept)))
        for item, kept in rejected:
            if item not in self.kept and len(self.kept) > kept:
                yield from self._tried(item)
        if self.measure.can_hide:
            yield from self._needless()

    def _plans(self) -> dict[str, str]:
        """The plan of each statement; those that cannot be planned or run are left out from now on."""
        plans = {}
        for live in self.lives:
            try:
                one_select(live.sql, ENGINE)
                plans[live.fingerprint] = self.measure.plan(live)
            except PlanError as error:
                self._leave_out(live, error)
        return plans

    def _leave_out(self, live: Live, error: PlanError) -> None:
        self.notes.append(f"statement {live.fingerprint} is not run: {error}")
        self.lives = [other for other in self.lives if other is not live]

    def _tried(self, item: Named) -> Iterator[Step]:
        reason = refusal(self.connection, item)
        if reason is not None:
            yield Verdict(item, False, reason)
            return
        plans = self._plans()
        if not self.measure.can_hide:
            self._before(self.reach.get(item, ()))
        yield Begun(item)
        failed = build(self.connection, item, self.note, self.wait)
        if failed is not None:
            yield Verdict(item, False, failed.reason, left=failed.left)
            return
        decided = False
        try:
            verdict = self._judged(item, plans)
            decided = verdict.kept
        finally:
            left = None if decided else drop(self.connection, item.drop, self.wait)
        if verdict.kept:
            self.kept.append(item)
        yield verdict if left is None else Verdict(item, False, f"{verdict.reason}; {left}", 0.0, verdict.changed, True)

    def _before(self, fingerprints: Collection[str]) -> None:
        """Measure what stands, for the statements that the next index could change."""
        for live in self.lives:
            if live.fingerprint in fingerprints:
                seen = self._seen.setdefault(live.fingerprint, _Seen())
                try:
                    seen.last = self.measure.sampled(live)
                except PlanError as error:
                    self._leave_out(live, error)
                seen.first = seen.first or seen.last

    def _judged(self, item: Named, plans: Mapping[str, str]) -> Verdict:
        after = self._plans()
        changed = [live for live in self.lives if after[live.fingerprint] != plans[live.fingerprint]]
        pairs = []
        for live in changed:
            try:
                pairs += [pair] if (pair := self._compared(live, item)) is not None else []
            except PlanError as error:
                self._leave_out(live, error)
        firsts = tuple(first for first, _ in pairs)
        saved = sum(one.live.calls * (one.before.seconds - one.after.seconds) for _, one in pairs)
        slower = [one for one in firsts if one.slower]
        if slower:
            names = ", ".join(f"{one.live.fingerprint} ({_times(one)}×)" for one in slower)
            return Verdict(item, False, f"it makes slower: {names}", saved, firsts)
        if not pairs:
            return Verdict(item, False, "no plan of a statement that was run uses it")
        if saved <= 0 or not any(one.quicker for _, one in pairs):
            return Verdict(item, False, "it does not help, beyond noise", saved, firsts)
        return Verdict(item, True, f"{amount(len(pairs), 'plan')} changed, and none became slower", saved, firsts)

    def _compared(self, live: Live, item: Named) -> tuple[Compared, Compared] | None:
        """The statement with the index, beside what it took before the first one; and beside what it took before this.

        What took too long with and without tells nothing.
        """
        if self.measure.can_hide:
            ours = [one.full_name for one in (*self.kept, item)]
            first = self.measure.compared(live, ours)
            last = self.measure.compared(live, [item.full_name])
        else:
            seen = self._seen.get(live.fingerprint)
            if seen is None or seen.first is None or seen.last is None:
                self.notes.append(f"statement {live.fingerprint} was not measured before {item.name}: it was not "
                                  "expected to change")  # fmt: skip
                return None
            after = self.measure.again(live, seen.first)
            first, last = Compared(live, seen.first, after), Compared(live, seen.last, after)
        return first, last

    def _needless(self) -> Iterator[Verdict]:
        """Drop what no plan uses any more since others came after it."""
        for item in tuple(self.kept):
            if self._plans() == {live.fingerprint: self.measure.plan(live, [item.full_name]) for live in self.lives}:
                left = drop(self.connection, item.drop, self.wait)
                self.kept.remove(item)
                reason = "the indexes that were kept after it do as well without it"
                yield Verdict(item, False, reason + (f"; {left}" if left else ""), left=left is not None)


def _times(one: Compared) -> str:
    return f"{one.after.seconds / max(one.before.seconds, 1e-9):.2f}"
