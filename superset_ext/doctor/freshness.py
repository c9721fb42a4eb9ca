"""Rules that match nothing, probes that fail, watches that do not fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.heard import PATIENCE
from superset_ext.cache.tags import RULE
from superset_ext.doctor.finding import Finding
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.probe.status import status
from superset_ext.freshness.watch.installed import hints
from superset_ext.freshness.watch.watches import watches
from superset_ext.host.databases import has_database
from superset_ext.host.regions import regions
from superset_ext.package import Package
from superset_ext.settings import PREFIX, Region, Rule

_USED = """
SELECT DISTINCT tag FROM superset_ext.cache_request, unnest(tags) AS tag WHERE tag LIKE 'rule:%%'
"""
_ASKED = "SELECT count(*) AS n FROM superset_ext.cache_request WHERE cardinality(tags) > 0"


def check_rules(_app: Any, package: Package) -> Iterator[Finding]:
    """Each rule names what is there, and has applied to something that was asked."""
    settings, database = package.settings, package.database
    if not settings.rules or database is None:
        return
    used, asked = {row["tag"] for row in database.rows(_USED)}, int(database.rows(_ASKED)[0]["n"])
    for rule in settings.rules:
        if missing := _missing(rule):
            message = f"the rule {rule.name} matches nothing: {missing}"
            yield Finding("rules", "error", message, f"correct it in {PREFIX}RULES, or leave it out")
        elif f"{RULE}{rule.name}" in used:
            yield Finding("rules", "fine", f"the rule {rule.name} is in use")
        else:
            message = f"the rule {rule.name} matches none of the {asked} requests that were asked in the last "
            message += f"{settings.warm_registry_days} days"
            fix = "see whether a rule above it matches first, or how its table or sql is written"
            yield Finding("rules", "warning", message, fix)


def _missing(rule: Rule) -> str | None:
    """What a rule names and Superset does not have."""
    from superset_ext.host.models import SqlaTable, db

    if rule.database is not None and not has_database(rule.database):
        return f"there is no database {rule.database!r}"
    if isinstance(rule.dataset, int):
        if db.session.query(SqlaTable.id).filter(SqlaTable.id == rule.dataset).first() is None:
            return f"there is no dataset {rule.dataset}"
    elif rule.dataset is not None and rule.dataset not in _dataset_names():
        return f"there is no dataset {rule.dataset!r}"
    return None


def _dataset_names() -> set[str]:
    from superset_ext.host.models import SqlaTable, db

    return {str(dataset.name) for dataset in db.session.query(SqlaTable)}


def check_probes(_app: Any, package: Package) -> Iterator[Finding]:
    """Each probe answers, and is asked in time."""
    if package.database is None or "probes" not in package.settings.sources:
        return
    for row in status(package.database, package.settings.probes):
        if row["problem"] is None:
            yield Finding("probes", "fine", f"{row['probe']} answers")
        else:
            yield Finding("probes", "warning", f"{row['probe']}: {row['problem']}", f"see {PREFIX}PROBES")


def check_watches(app: Any, package: Package) -> Iterator[Finding]:
    """Each watched table has its triggers, and somebody listens."""
    if package.database is None:
        return
    heard = _heard(app)
    for row in watches():
        name, silent = f"{row['database']}: {row['table']}", heard.get(row["database_id"])
        if row["problem"]:
            yield Finding("watches", "error", f"{name} {row['problem']}", "superset perf watch list says more")
        elif row["listeners"] == 0:
            effect = "its changes are not noticed" if silent is None else "its charts are not kept"
            message = f"{name} is watched and nobody listens, so {effect}"
            yield Finding("watches", "error", message, "start: superset perf listen")
        elif silent is not None and silent > PATIENCE:
            message = (
                f"{name} is watched, and its listener was last heard {silent:.0f} s ago, so its charts are not kept"
            )
            yield Finding("watches", "error", message, "see the log of: superset perf listen")
        else:
            yield Finding("watches", "fine", f"{name} is watched")
    for line in hints(app, package.database):
        message, _, fix = line.partition("; ")
        yield Finding("watches", "warning", message, fix)


def _heard(app: Any) -> dict[int, float]:
    """Seconds since the listener of each database was heard, by the database's id, where the caches can say."""
    cache = regions(app).get(Region.CHART_DATA)
    try:
        return cache.listeners() if isinstance(cache, ChartCache) else {}
    except StoreUnavailable:  # which the check of the servers says
        return {}
