"""What rewrites of charts have done, what is switched off, and allowing it again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.compared.switches import Switches
from superset_ext.settings import Rewrite

_OFF = """
SELECT s.dataset_id, n.name AS dataset, s.rule, s.at, s.fingerprint, s.original, s.rewritten
FROM superset_ext.rewrite_switched_off AS s
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'dataset' AND n.id = s.dataset_id
ORDER BY s.at DESC, s.dataset_id, s.rule
"""
_ALLOW = "DELETE FROM superset_ext.rewrite_switched_off WHERE dataset_id = %s RETURNING rule"
_ANEW = (
    "DELETE FROM superset_ext.rewrite_use WHERE dataset_id = %s AND rules && CAST(%s AS text[]) RETURNING dataset_id"
)


@dataclass(frozen=True, slots=True)
class Report:
    """Rewrites of charts.

    Attributes:
        allowed: what the settings allow.
        uses: by dataset and rules, as `rewrites_in_use.sql` has it.
        off: rules that gave other rows for a dataset, with both texts without values.
    """

    allowed: Sequence[Rewrite]
    uses: Sequence[dict[str, Any]]
    off: Sequence[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        allowed = [rule.model_dump(exclude_none=True) for rule in self.allowed]
        return {**asdict(self), "allowed": allowed}


def report(database: LogDatabase, allowed: Sequence[Rewrite]) -> Report:
    """What all processes have written.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return Report(allowed, database.query("rewrites_in_use"), database.rows(_OFF))


def allow_again(database: LogDatabase, switches: Switches, dataset_id: int) -> Collection[str]:
    """Allow what was switched off for a dataset, and forget what was known of it; the rules that were off.

    Raises:
        LogUnavailable: the log database does not answer.
        StoreUnavailable: Redis does not; the rows are gone, and processes hear of that within an hour.
    """
    rules = [row["rule"] for row in database.rows(_ALLOW, (dataset_id,))]
    database.rows(_ANEW, (dataset_id, rules))
    switches.allow(dataset_id, rules)
    return rules
