"""The substitute that rewrites: another text for a chart's statement, by the rules that its dataset is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.host.substitutes import Posed, Substitution
from superset_ext.plans.compared.kept import Books
from superset_ext.plans.compared.pairs import Key, Pairs
from superset_ext.plans.compared.shadow import Job, Other, Shown
from superset_ext.plans.compared.substitute import ComparedTexts, job_of, names
from superset_ext.plans.postgresql import ENGINE
from superset_ext.plans.rewrite import AUTOMATIC
from superset_ext.plans.rewrite.automatic.looks import candidates
from superset_ext.plans.rewrite.automatic.proven import Noted, hold
from superset_ext.plans.rewrite.automatic.texts import Place, Text, Texts
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.rewriting import Rule, rewritten
from superset_ext.settings import Settings

KIND = "rewritten"
WORTH, SAVED_MS = 1.2, 20.0  # a text is used that is so many times as fast, and saves more than parsing it takes


class AutomaticRewrites(ComparedTexts):
    """Rewrites charts' statements on PostgreSQL sources.

    Args:
        app: Superset's.
        database: the log database.
        begin: has `flush` called before long.
        charts: returns the region of chart data.
        settings: `rewrites`, `rewrites_shadow`, `plans_active`.
        rules: those that there are.
        pairs: makes what is known of statements.
    """

    def __init__(
        self,
        app: Any,
        database: LogDatabase,
        begin: Callable[[], None],
        charts: Callable[[], ChartCache],
        settings: Settings,
        rules: Sequence[Rule] = AUTOMATIC,
        pairs: Callable[[], Pairs] = lambda: Pairs(WORTH, SAVED_MS),
    ) -> None:
        self._settings = settings
        self._rules = {rule.__name__: rule for rule in rules}
        books = Books(database, "rewrite_use", "rewrite_switched_off", "dataset_id", "rule")
        super().__init__(app, begin, charts, books, KIND, settings.rewrites_shadow, settings.plans_active, pairs)

    def reset(self) -> None:
        """See `ComparedTexts`."""
        super().reset()
        self._texts = Texts(self._rules)

    def substitution(self, posed: Posed) -> Substitution | str:
        """See `Substitute`."""
        allowed = self._allowed(posed)
        if isinstance(allowed, str):
            return allowed
        allowed = candidates(posed.sql, allowed)
        if not allowed:
            return "no rule has anything to look at"
        fingerprint = self.fingerprint(posed)
        if reason := self.left_alone(posed.dataset_id or 0, fingerprint):
            return reason
        job = job_of(posed, fingerprint, tuple(self._rules[name] for name in allowed))
        states = self._pairs.states(job.dataset_id, fingerprint)
        if not any(state == "used" for state, _ in states.values()):
            return self.put(job, states)
        text = self._texts.text(_place(posed), posed.sql, allowed)
        if text is None:
            self._shadow.put(job)
            return "its tables are not known yet"
        return self._proven(job, text) if text.rules else "no rule applies"

    def _proven(self, job: Job, text: Text) -> Substitution | str:
        """The text, if it has been compared and may be used now."""
        key = Key(job.dataset_id, job.fingerprint, text.rules)
        if reason := self.unproven(job, key):
            return reason
        before = partial(hold, relations=text.relations, ms=self.limit_ms(key))
        return Substitution(text.sql, text.rules, before, text.below, self.tags(job, key), note=(key, job))

    def failed(self, posed: Posed, substitution: Substitution, reason: str) -> None:
        """See `Substitute`. The statement is left as it is for a day; or compared anew, if its tables were."""
        key, job = substitution.note
        if reason == "Redefined":
            self._texts.forget(_place(posed))
            self.again(key, job)
        else:
            self.unanswered(key, job, reason)

    def made(self, cursor: Any, job: Job) -> Other:
        """See `ComparedTexts`."""
        facts = Noted(PostgreSQL(lambda text, values: _all(cursor, text, values)).relation)
        rewriting = rewritten(job.sql, facts, job.note)
        return Other(rewriting.sql, rewriting.applied, rewriting.below, note=facts.relations)

    def shown(self, job: Job, shown: Shown) -> None:
        """See `ComparedTexts`."""
        self._texts.remember((job.database_id, job.catalog, job.schema), shown.other.note)
        super().shown(job, shown)

    def scope(self, job: Job) -> int:
        """See `ComparedTexts`: a rule is switched off for a dataset."""
        return job.dataset_id

    def differed(self, job: Job, rules: tuple[str, ...]) -> str:
        """See `ComparedTexts`."""
        which = f"{', '.join(rules)} gave other rows for dataset {job.dataset_id}"
        return f"{which} and is switched off there; see superset perf rewrite --automatic"

    def _allowed(self, posed: Posed) -> tuple[str, ...] | str:
        """The rules that may be used for a dataset; or why none."""
        rule = next((rule for rule in self._settings.rewrites if names(rule, posed)), None)
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


def _place(posed: Posed) -> Place:
    return posed.database_id, posed.catalog, posed.schema


def _all(cursor: Any, text: str, values: Sequence[Any]) -> list[Sequence[Any]]:
    cursor.execute(text, values)
    return list(cursor.fetchall())
