"""The substitute that answers charts from aggregates, where a rule of the settings names their dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from superset_ext.aggregates.match import Match
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.route.catalogue import Catalogue
from superset_ext.aggregates.route.comparing import other_text
from superset_ext.aggregates.route.counts import Counts, as_key
from superset_ext.aggregates.route.engines import ENGINES, Engine
from superset_ext.aggregates.route.guard import as_of_us, now
from superset_ext.aggregates.route.looked import Known, Looked
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.ties import SURE
from superset_ext.cache.chart import ChartCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import NotHeld, SourceBusy
from superset_ext.host.mutators import adds_comments_alone
from superset_ext.host.substitutes import Posed, Substitution
from superset_ext.plans.compared.kept import Books
from superset_ext.plans.compared.pairs import Key, Pairs
from superset_ext.plans.compared.shadow import SECONDS, Job, Other
from superset_ext.plans.compared.substitute import ComparedTexts, job_of, names
from superset_ext.settings import AggregateRule, Settings

KIND = "aggregate"
WORTH, SAVED_MS = 1.2, 5.0  # a text is used that, with the guard, is so many times as fast, and saves so much
_MOMENT_SECONDS = 5.0  # for which an aggregate is left alone after something that passes
_LASTING_SECONDS = 60.0  # and after something that does not
_TIED = "rows tie where its LIMIT cuts, or something is divided by zero"
_LOST = {"OperationalError", "InterfaceError", "QueryCanceled", "QueryCanceledError", "IOException"}


@dataclass
class Asked:
    """A statement that an aggregate answers.

    Attributes:
        looked: the time zone and the database that the text was made for.
        refused: why the source would not have it, once it was asked.
    """

    match: Match
    known: Known
    allowed: Allowed
    looked: tuple[str, str]
    engine: Engine
    refused: NotHeld | None = None


class RoutedCharts(ComparedTexts):
    """Answers charts from aggregates.

    Args:
        app: Superset's.
        database: the log database.
        begin: has `flush` called before long.
        charts: returns the region of chart data.
        settings: `aggregates`, `aggregates_shadow`, `plans_active`.
        pairs: makes what is known of statements.
    """

    def __init__(
        self,
        app: Any,
        database: LogDatabase,
        begin: Callable[[], None],
        charts: Callable[[], ChartCache],
        settings: Settings,
        pairs: Callable[[], Pairs] = lambda: Pairs(WORTH, SAVED_MS),
    ) -> None:
        self._settings = settings
        self._counts = Counts(database)
        self.catalogue = Catalogue(app, self._noted)
        books = Books(database, "aggregate_use", "aggregate_switched_off", "database_id", "aggregate")
        super().__init__(app, begin, charts, books, KIND, settings.aggregates_shadow, settings.plans_active, pairs)

    def reset(self) -> None:
        """See `ComparedTexts`."""
        super().reset()
        self._waiting: dict[tuple[int, str], tuple[float, str]] = {}  # aggregates: until when (monotonic), and why

    def substitution(self, posed: Posed) -> Substitution | str:
        """See `Substitute`."""
        rule = next((rule for rule in self._settings.aggregates if names(rule, posed)), None)
        if posed.dataset_id is None or rule is None or not rule.use:
            return "no rule of the settings names its dataset"
        engine = ENGINES.get(posed.engine.partition("+")[0])
        looked = None if engine is None else self.catalogue.source(posed.database_id)
        if engine is None or looked is None:
            return "its source has no aggregates, or was not looked at yet"
        allowed = Allowed(rule.floats, rule.ties, rule.loose, looked.zone)
        match = looked.place(posed.schema).answer(posed.sql, allowed)
        if not isinstance(match, Match):
            return self._counted(posed, match.relation, "", match.reason)
        known = looked.known(match.view)
        reason = self._unfit(posed, looked) or self._unready(posed, known, rule)
        if reason:
            return self._counted(posed, known.kept.view.relation, known.name, reason)
        return self._proven(posed, Asked(match, known, allowed, (looked.zone, looked.database), engine), rule)

    def _unfit(self, posed: Posed, looked: Looked) -> str:
        """Why no aggregate may answer a statement, whichever it is; empty, if one may."""
        if posed.database.impersonate_user:
            return "its database is asked as each user"
        if posed.catalog not in (None, looked.database):
            return "it is asked of another database of the server"
        if not adds_comments_alone(posed.database, posed.sql):
            return "SQL_QUERY_MUTATOR adds more to it than comments"
        return ""

    def _unready(self, posed: Posed, known: Known, rule: AggregateRule) -> str:
        """Why an aggregate may not answer now; empty, if it may."""
        until, reason = self._waiting.get((posed.database_id, known.edition), (0.0, ""))
        if monotonic() < until:
            return reason
        allowed = self._switches.allowed(posed.database_id, [known.edition])
        if allowed is None:
            self._begin()
            return "what other processes know is not read yet"
        if not allowed:
            return "it gave other rows, and is switched off"
        if known.kept.is_exact or known.age_seconds <= rule.stale_seconds:
            return ""
        return "it is older than the settings allow" if rule.stale_seconds else "it is not exact at this moment"

    def _proven(self, posed: Posed, asked: Asked, rule: AggregateRule) -> Substitution | str:
        """The text, if it has been compared and may be used now."""
        job = job_of(posed, self.fingerprint(posed), asked)
        reason = self.left_alone(job.dataset_id, job.fingerprint)
        key = Key(job.dataset_id, job.fingerprint, (asked.known.edition,))
        if reason := reason or self.unproven(job, key):
            return self._counted(posed, asked.known.kept.view.relation, asked.known.name, reason)
        before = partial(_held, asked=asked, sql=posed.sql, ms=self.limit_ms(key), stale_seconds=rule.stale_seconds)
        match, tags = asked.match, self.tags(job, key)
        return Substitution(match.sql, key.rules, before, match.below, tags, stands_for=True, note=(key, job))

    def failed(self, posed: Posed, substitution: Substitution, reason: str) -> None:
        """See `Substitute`. What the source refused is tried again later; a text that failed, after a day."""
        key, job = substitution.note
        asked: Asked = job.note
        refused, asked.refused = asked.refused, None
        if refused is None and reason in _LOST:
            refused = NotHeld("the source was lost", passing=True)
        if refused is None:
            self.unanswered(key, job, _TIED if _has_tied(job, reason) else reason)
            return
        self._wait(posed, asked.known, refused)
        self._counted(posed, asked.known.kept.view.relation, asked.known.name, str(refused))
        self.catalogue.soon(posed.database_id)

    def _wait(self, posed: Posed, known: Known, refused: NotHeld) -> None:
        seconds = _MOMENT_SECONDS if refused.passing else _LASTING_SECONDS
        if len(self._waiting) > 1000:
            self._waiting.clear()
        self._waiting[posed.database_id, known.edition] = (monotonic() + seconds, str(refused))
        if not refused.passing:
            warn(
                f"aggregate {posed.database_id} {known.name}", "no chart is answered from the aggregate %s of database "
                "%d: %s", known.name, posed.database_id, refused,
            )  # fmt: skip

    def made(self, cursor: Any, job: Job) -> Other:
        """See `ComparedTexts`."""
        asked: Asked = job.note
        began = monotonic()
        try:
            view = asked.match.view
            held = asked.engine.hold(cursor, asked.known, view, asked.looked, job.sql, int(SECONDS * 1000))
        except NotHeld as refused:
            if refused.passing:
                raise SourceBusy(str(refused)) from None
            raise
        before_ms = (monotonic() - began) * 1000
        return replace(other_text(job.sql, asked.match, asked.known, held, asked.allowed), before_ms=before_ms)

    def refused(self, job: Job, reason: str) -> None:
        """See `ComparedTexts`."""
        super().refused(job, _TIED if _has_tied(job, reason) else reason)

    def scope(self, job: Job) -> int:
        """See `ComparedTexts`: an aggregate is switched off for its database."""
        return job.database_id

    def differed(self, job: Job, rules: tuple[str, ...]) -> str:
        """See `ComparedTexts`."""
        name = ", ".join(rule.partition(".")[0] for rule in rules)
        which = f"the aggregate {name} of database {job.database_id} gave other rows for dataset {job.dataset_id}"
        return f"{which} and is switched off; see superset perf aggregates list"

    def flush(self) -> None:
        """See `ComparedTexts`."""
        super().flush()
        self._counts.flush()

    def _counted(self, posed: Posed, relation: str, name: str, reason: str) -> str:
        """Count why a statement that an aggregate might have answered was not."""
        if relation:
            self._counts.refused(posed.database_id, posed.dataset_id or 0, as_key(relation), name, reason)
            self._begin()
        return reason

    def _noted(self, database_id: int, kept: Sequence[Kept]) -> None:
        """Forget why aggregates are left alone that are not what they were."""
        self._counts.noted(database_id, kept)


def _has_tied(job: Job, reason: str) -> bool:
    """Whether a text may have been ended by the division that stands for rows that tie; see `ties.checked`."""
    return SURE in job.note.match.sql and "DivisionByZero" in reason


def _held(cursor: Any, asked: Asked, sql: str, ms: int, stale_seconds: float) -> int | None:
    """See `Substitution.before`."""
    began = now()
    try:
        held = asked.engine.hold(cursor, asked.known, asked.match.view, asked.looked, sql, ms)
        return as_of_us(held, stale_seconds, began)
    except NotHeld as refused:
        asked.refused = refused
        raise
