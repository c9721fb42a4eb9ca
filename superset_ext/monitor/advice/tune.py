"""Tuning: timeout and grace of single datasets, one step at a time, each measured and taken back where it did harm.

A turn first takes back what must not stand any more, then decides on the step under trial once its window is over, and
takes the next one when none is. A window is a day by default, so that both sides of a step have all hours. What is set
reaches the processes through `advice.overrides`; what people have set wins over it, see `cache.tuned`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from superset_ext.cache.tuned import Tuned
from superset_ext.core.log_database import LogDatabase, all_rows
from superset_ext.monitor.advice import overrides
from superset_ext.monitor.advice.announced import Ask, announced_tags
from superset_ext.monitor.advice.effect import Effect, Window, effect
from superset_ext.monitor.advice.lifetimes import Dataset, Limits, Use, datasets, uses
from superset_ext.monitor.advice.overrides import EVERY_SECONDS, Setting, subject
from superset_ext.monitor.advice.steps import Step, best, may_live_longer, situation

logger = logging.getLogger(__name__)

SECONDS = 120.0  # that a statement may take: a day of a busy log is a million rows
ENOUGH = 50.0  # requests after a step, below which chance decides
PATIENCE = 3  # windows in which that many must come
RETRY_DAYS = 7  # before a dataset is tried again whose step was taken back: its week is the same until then

_TURN = """
SELECT pg_try_advisory_xact_lock(hashtextextended('superset_ext.tune', 0)) AS mine, coalesce(%(now)s, now()) AS now
"""
_TRIAL = """
SELECT id, created_at, subject, setting, old_value, new_value FROM superset_ext.cache_tuning_log
WHERE state = 'trial' AND created_at <= %(now)s ORDER BY id LIMIT 1
"""
# A window before the log began would be compared with one of other hours.
_FULL = """
SELECT EXISTS (SELECT FROM superset_ext.cache_performance_log
    WHERE created_at < %(since)s + interval '1 hour' AND created_at >= %(since)s - interval '7 days') AS is_full
"""
_BEGIN = """
INSERT INTO superset_ext.cache_tuning_log (created_at, subject, setting, old_value, new_value, reason)
VALUES (%(now)s, %(subject)s, %(setting)s, %(old)s, %(new)s, %(reason)s) RETURNING id
"""
_DECIDE = """
UPDATE superset_ext.cache_tuning_log SET state = %(state)s, decided_at = %(now)s, reason = reason || %(reason)s,
    saved_before = %(before)s, saved_after = %(after)s
WHERE id = %(id)s RETURNING id
"""
_WITHDRAW = """
UPDATE superset_ext.cache_tuning_log SET state = 'reverted', decided_at = %(now)s, reason = reason || %(reason)s
WHERE id = (SELECT max(id) FROM superset_ext.cache_tuning_log
    WHERE subject = %(subject)s AND setting = %(setting)s AND state <> 'reverted') RETURNING id
"""
_RESTING = """
SELECT DISTINCT subject FROM superset_ext.cache_tuning_log
WHERE state = 'reverted' AND decided_at > %(now)s - make_interval(days => %(days)s)
"""


class _Region(Protocol):
    @property
    def timeout(self) -> int: ...


class Tunable(Limits, Protocol):
    """The settings that tuning reads."""

    @property
    def auto_apply(self) -> bool:
        """Whether anything is set at all."""

    @property
    def tune_window_hours(self) -> float:
        """Hours for which a step is measured."""

    @property
    def grace_seconds(self) -> float:
        """Of every dataset."""

    @property
    def chart_data(self) -> _Region:
        """Has the timeout of every dataset."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a turn did.

    Attributes:
        old, new: seconds before and after; `None` for what the settings say.
        reason: why.
    """

    action: Literal["tried", "kept", "reverted", "withdrawn"]
    dataset_id: int
    setting: Setting
    old: float | None
    new: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Trial:
    id: int
    created_at: datetime
    subject: str
    setting: Setting
    old_value: float | None
    new_value: float


def tune(
    database: LogDatabase, settings: Tunable, now: datetime | None = None, by_hand: Collection[int] = ()
) -> list[Done]:
    """Take one turn; what it did. Nothing where `auto_apply` is off, or while another process is at it.

    Args:
        by_hand: datasets for which people have set a timeout in Superset, which stands whatever is set here.
        now: the moment to take for now; the log database's own clock where not given.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`; nothing was done.
    """
    if not settings.auto_apply:
        return []
    with database.transaction(SECONDS) as cursor:
        ask = asking(cursor)
        turn = ask(_TURN, {"now": now})[0]
        done = _Turn(ask, settings, turn["now"], by_hand).take() if turn["mine"] else []
    for change in done:
        logger.info(
            "superset_ext: tuning %s %s of dataset %d: %s",
            change.action,
            change.setting,
            change.dataset_id,
            change.reason,
        )
    return done


def begin(ask: Ask, step: Step, old: float | None, now: datetime) -> None:
    """Set what a step says, and write it down as a trial.

    Args:
        old: seconds that tuning had set before; `None` where the settings held.
    """
    values = {"now": now, "subject": subject(step.dataset_id), "setting": step.setting, "old": old}
    ask(_BEGIN, values | {"new": step.new, "reason": step.reason})
    overrides.write(ask, step.dataset_id, step.setting, step.new, now)


def asking(cursor: Any) -> Ask:
    """Rows by column name, all in the transaction of one cursor."""

    def ask(sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        cursor.execute(sql, values)
        return all_rows(cursor)

    return ask


class _Turn:
    """One turn, under the lock."""

    def __init__(self, ask: Ask, settings: Tunable, now: datetime, by_hand: Collection[int]) -> None:
        self._ask = ask
        self._settings = settings
        self._now = now
        self._by_hand = by_hand
        self._window = timedelta(hours=settings.tune_window_hours)

    def take(self) -> list[Done]:
        done = self._withdraw()
        if (trial := self._trial()) is not None:
            decided = self._decide(trial)
            if decided is None:
                return done
            done.append(decided)
        return done + self._step()

    def _datasets(self, chart_uses: Sequence[Use] = ()) -> list[Dataset]:
        settings = self._settings
        plain = Tuned(float(settings.chart_data.timeout), settings.grace_seconds)
        set_ = overrides.read(self._ask)
        return datasets(self._ask, self._now, chart_uses, announced_tags(self._ask, self._now), plain, set_)

    def _withdraw(self) -> list[Done]:
        """Go back to the settings where what is set must not stand any more."""
        set_ = overrides.read(self._ask)
        known = {dataset.id: dataset for dataset in self._datasets()} if set_ else {}
        changes: list[Done] = []
        for dataset_id, tuned in set_.items():
            values: dict[Setting, float | None] = {"timeout": tuned.timeout, "grace": tuned.grace}
            for setting, value in values.items():
                if value is not None and (why := self._wrong(known[dataset_id], setting, value)):
                    changes.append(self._take_back(dataset_id, setting, value, why))
        return changes

    def _wrong(self, dataset: Dataset, setting: Setting, value: float) -> str | None:
        settings = self._settings
        is_timeout = setting == "timeout"
        lowest, highest = (
            (settings.tune_min_timeout, settings.tune_max_timeout) if is_timeout else (0.0, settings.tune_max_grace)
        )
        plain = settings.chart_data.timeout if is_timeout else settings.grace_seconds
        if not lowest <= value <= highest:
            return "it is out of bounds"
        if dataset.has_rule:
            return "a rule says how long its answers live"
        if value > plain and not may_live_longer(dataset):
            return "nobody tells any more when its data changes, or it is asked for times such as «last day»"
        return None

    def _take_back(self, dataset_id: int, setting: Setting, value: float, why: str) -> Done:
        overrides.write(self._ask, dataset_id, setting, None, self._now)
        values = {"now": self._now, "subject": subject(dataset_id), "setting": setting}
        self._ask(_WITHDRAW, values | {"reason": f"; taken back: {why}"})
        return Done("withdrawn", dataset_id, setting, value, None, why)

    def _trial(self) -> _Trial | None:
        rows = self._ask(_TRIAL, {"now": self._now})
        return _Trial(**rows[0]) if rows else None

    def _decide(self, trial: _Trial) -> Done | None:
        """Keep a step or take it back; `None` while it cannot be told."""
        start = trial.created_at + self._settled(trial)
        if self._now < start + self._window:
            return None
        comparison = self._measured(trial, start, start + self._window)
        if comparison.requests < ENOUGH:
            comparison = self._measured(trial, start, self._now)
        if comparison.requests < ENOUGH and self._now < start + PATIENCE * self._window:
            return None
        return self._judged(trial, comparison)

    def _settled(self, trial: _Trial) -> timedelta:
        """How long until all processes have heard of a step, and what was stored before it is mostly gone."""
        old = self._settings.chart_data.timeout if trial.old_value is None else trial.old_value
        return min(timedelta(seconds=old), self._window / 4) + timedelta(seconds=EVERY_SECONDS)

    def _measured(self, trial: _Trial, start: datetime, end: datetime) -> Effect:
        before = uses(self._ask, trial.created_at - self._window, trial.created_at)
        after = uses(self._ask, start, end)
        return effect(
            overrides.dataset_of(trial.subject), trial.setting,
            Window(self._window.total_seconds(), before), Window((end - start).total_seconds(), after),
        )  # fmt: skip

    def _judged(self, trial: _Trial, comparison: Effect) -> Done:
        enough = comparison.requests >= ENOUGH
        kept = enough and comparison.after >= comparison.before
        reason = f"{comparison.before:.1f} s saved before and {comparison.after:.1f} s after, for the same traffic"
        reason = reason if enough else f"only {comparison.requests:.0f} requests came, too few to tell"
        self._ask(_DECIDE, {
            "id": trial.id, "state": "kept" if kept else "reverted", "now": self._now, "before": comparison.before,
            "after": comparison.after, "reason": f"; {reason}",
        })  # fmt: skip
        dataset_id = overrides.dataset_of(trial.subject)
        if kept:
            return Done("kept", dataset_id, trial.setting, trial.old_value, trial.new_value, reason)
        overrides.write(self._ask, dataset_id, trial.setting, trial.old_value, self._now)
        return Done("reverted", dataset_id, trial.setting, trial.new_value, trial.old_value, reason)

    def _step(self) -> list[Done]:
        if not self._ask(_FULL, {"since": self._now - self._window})[0]["is_full"]:
            return []
        rows = self._ask(_RESTING, {"now": self._now, "days": RETRY_DAYS})
        chart_uses = uses(self._ask, self._now - self._window, self._now)
        known, resting = self._datasets(chart_uses), {row["subject"] for row in rows}
        free = [dataset for dataset in known if subject(dataset.id) not in resting and dataset.id not in self._by_hand]
        step = best(free, situation(chart_uses, known), self._settings)
        if step is None:
            return []
        tuned = overrides.read(self._ask).get(step.dataset_id, Tuned())
        old = tuned.timeout if step.setting == "timeout" else tuned.grace
        begin(self._ask, step, old, self._now)
        return [Done("tried", step.dataset_id, step.setting, old, step.new, step.reason)]
