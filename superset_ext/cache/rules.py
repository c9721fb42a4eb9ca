"""Which rule of the settings applies to what a chart asked, and what it then says: the first that matches."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from superset_ext.cache.tags import USAGE
from superset_ext.settings import Rule, Settings
from superset_ext.sqltables.table import Table


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule may look at.

    Attributes:
        dataset_id, dataset: Superset's dataset, by id and by name.
        database: name of Superset's database.
        tables: that the SQL reads; `None` where they cannot be known.
        sql: what ran.
    """

    dataset_id: int | None
    dataset: str | None
    database: str | None
    tables: Collection[Table] | None
    sql: str


def matching(rules: Iterable[Rule], subject: Subject) -> Rule | None:
    """The first rule that applies."""
    return next((rule for rule in rules if _applies(rule, subject)), None)


HOUR, DAY = 3600, 86_400
_DEFAULTS = {"time": HOUR, "event": DAY}  # seconds, where a rule names none; of «usage» what Superset asks for
MAX_AGE, MIN_HITS = 7200, 5


def usage_tag(rule: Rule | None) -> str | None:
    """What an entry carries that goes unless it is read often enough: the number of reads."""
    return f"{USAGE}{rule.min_hits or MIN_HITS}" if rule is not None and rule.strategy == "usage" else None


def trial_ms(rule: Rule | None) -> int:
    """Milliseconds after which an entry goes that was not read often enough, 0 for no such end."""
    return (rule.max_age or MAX_AGE) * 1000 if rule is not None and rule.strategy == "usage" else 0


def lifetime(settings: Settings, rule: Rule | None, passed_ms: int) -> tuple[int, int]:
    """How many milliseconds an entry is fresh, 0 for ever, and for how many more it may be given while refreshed.

    The grace is at most the timeout, so that nothing is shown that is more than twice as old as was asked for.

    Args:
        passed_ms: what Superset asks for.
    """
    fresh = passed_ms if rule is None else _timeout_ms(rule, passed_ms)
    seconds = settings.grace_seconds if rule is None or rule.grace is None else rule.grace
    return fresh, min(int(seconds * 1000), fresh)


def _timeout_ms(rule: Rule, passed_ms: int) -> int:
    seconds = _DEFAULTS.get(rule.strategy) if rule.timeout is None else rule.timeout
    return passed_ms if seconds is None else seconds * 1000


def _applies(rule: Rule, subject: Subject) -> bool:
    return (
        (rule.dataset is None or rule.dataset in (subject.dataset_id, subject.dataset))
        and (rule.database is None or rule.database == subject.database)
        and (rule.table is None or any(_like(rule.table, table) for table in subject.tables or ()))
        and (rule.sql is None or _pattern(rule.sql).search(subject.sql) is not None)
    )


def _like(pattern: str, table: Table) -> bool:
    """Whether a table's name, with its schema or without, matches a pattern with `*` and `?`."""
    pattern = pattern.casefold()
    return fnmatch.fnmatchcase(str(table) if "." in pattern else table.name, pattern)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)
