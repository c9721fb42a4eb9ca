"""All that is recommended, of every kind, from the log alone: no source is asked, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superset_ext.monitor.advice.recommend import recommend
from superset_ext.package import Package
from superset_ext.plans import kept
from superset_ext.plans.indexes import proposals
from superset_ext.plans.looks import looks
from superset_ext.plans.upkeep import kept as upkeep

MOST = 100  # findings and rewrites that are told
Rows = list[dict[str, Any]]


def everything(
    app: Any,
    package: Package,
    most: int,
    may_ask: Callable[[int], bool] = lambda _database_id: True,
    may_see: Callable[[str], bool] = lambda _subject: True,
) -> dict[str, Rows]:
    """What to set otherwise, which indexes and texts would help, what slow statements show, what sources need.

    Args:
        app: Superset's, in whose context this is called.
        most: findings and rewrites.
        may_ask: whether somebody may be told of a database, by its id.
        may_see: whether somebody may be told of an object of Superset, as `dataset:12`.

    Raises:
        NoLogDatabase, LogUnavailable: there is no log, or it does not answer.
    """
    log = package.log()
    of_sources = {
        "findings": kept.findings_of(log, most), "indexes": proposals.kept(log),
        "rewrites": kept.rewrites_of(log, most), "upkeep": upkeep.kept(log), "looks": looks(log),
    }  # fmt: skip
    allowed = {
        number: may_ask(number) for number in {row["database_id"] for rows in of_sources.values() for row in rows}
    }
    advice = [item.as_dict() for item in recommend(app, log, package.settings) if may_see(item.subject)]
    return {
        "result": advice,
        **{kind: [row for row in rows if allowed[row["database_id"]]] for kind, rows in of_sources.items()},
    }
