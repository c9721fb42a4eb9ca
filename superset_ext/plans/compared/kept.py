"""Answers by another text as rows: what each has done, and what is switched off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.compared.pairs import COUNTS, MOST, Key, Pair

Off = frozenset[tuple[int, str]]  # what rules are switched off for, by id, and the rules
# Counts are added, so that each process writes its own; a state is written by whoever has changed it.
_ADD = """
INSERT INTO superset_ext.{use} AS u (
    dataset_id, fingerprint, rules, database_id, state, reason, uses, runs, differences, failures, stock_ms,
    rewritten_ms
) VALUES (
    %(dataset_id)s, %(fingerprint)s, %(rules)s, %(database_id)s, %(state)s, %(reason)s, %(uses)s, %(runs)s,
    %(differences)s, %(failures)s, %(stock_ms)s, %(rewritten_ms)s
)
ON CONFLICT (dataset_id, fingerprint, rules) DO UPDATE SET
    uses = u.uses + excluded.uses, runs = u.runs + excluded.runs, differences = u.differences + excluded.differences,
    failures = u.failures + excluded.failures, stock_ms = u.stock_ms + excluded.stock_ms,
    rewritten_ms = u.rewritten_ms + excluded.rewritten_ms, changed_at = now(),
    state = CASE WHEN %(moved)s THEN excluded.state ELSE u.state END,
    reason = CASE WHEN %(moved)s THEN excluded.reason ELSE u.reason END,
    state_at = CASE WHEN %(moved)s THEN now() ELSE u.state_at END
"""
_PAIRS = """
SELECT dataset_id, fingerprint, rules, database_id, state, reason, extract(epoch FROM state_at)::float8 AS since, uses,
    runs, differences, failures, stock_ms, rewritten_ms
FROM superset_ext.{use} ORDER BY changed_at DESC LIMIT %s
"""
_OFF = "SELECT {scope}, {rule} FROM superset_ext.{off}"
_SWITCH = """
INSERT INTO superset_ext.{off} (dataset_id, {rule}, database_id, fingerprint, original, rewritten)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT ({scope}, {rule}) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class End:
    """A statement whose texts gave other rows.

    Attributes:
        database_id: Superset's.
        original, rewritten: both texts, without values.
    """

    key: Key
    database_id: int
    original: str
    rewritten: str


class Books:
    """The tables of one kind of other texts.

    Args:
        database: the log database.
        use, off: their names: what each statement's text has done, and which rules are switched off.
        scope, rule: columns of `off`: what a rule is switched off for, and the rule.
    """

    def __init__(self, database: LogDatabase, use: str, off: str, scope: str, rule: str) -> None:
        names = {"use": use, "off": off, "scope": scope, "rule": rule}
        self._database = database
        self._add, self._pairs, self._off, self._switch = (
            text.format(**names) for text in (_ADD, _PAIRS, _OFF, _SWITCH)
        )

    def add(self, owed: Mapping[Key, tuple[Pair, Counter[str], bool]]) -> None:
        """Write what a process has counted and decided.

        Raises:
            LogUnavailable: the log database does not answer; nothing was written.
        """
        with self._database.transaction() as cursor:
            for key in sorted(owed, key=lambda key: (key.dataset_id, key.fingerprint, key.rules)):
                pair, more, moved = owed[key]
                values = {name: more[name] for name in COUNTS}
                cursor.execute(self._add, {
                    **values, "dataset_id": key.dataset_id, "fingerprint": key.fingerprint, "rules": list(key.rules),
                    "database_id": pair.database_id, "state": pair.state, "reason": pair.reason, "moved": moved,
                })  # fmt: skip

    def known(self) -> tuple[dict[Key, Pair], Off]:
        """What all processes know: the pairs that changed last, and what is switched off.

        Raises:
            LogUnavailable: the log database does not answer.
        """
        with self._database.transaction() as cursor:
            cursor.execute(self._pairs, (MOST,))
            pairs = dict(_pair(row) for row in cursor.fetchall())
            cursor.execute(self._off)
            return pairs, frozenset((number, rule) for number, rule in cursor.fetchall())

    def switch_off(self, end: End) -> None:
        """Write that the rules of a pair are not used any more.

        Raises:
            LogUnavailable: the log database does not answer.
        """
        with self._database.transaction() as cursor:
            for rule in sorted(end.key.rules):
                values = (end.key.dataset_id, rule, end.database_id, end.key.fingerprint, end.original, end.rewritten)
                cursor.execute(self._switch, values)


def _pair(row: Any) -> tuple[Key, Pair]:
    dataset_id, fingerprint, rules, database_id, state, reason, since, *counts = row
    pair = Pair(database_id, state, reason, since, Counter(dict(zip(COUNTS, counts, strict=True))), moved=False)
    return Key(dataset_id, fingerprint, tuple(rules)), pair
