"""Superset itself: its version, and dashboards that go round the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superset_ext.aggregates.route.report import answering, switched_off
from superset_ext.core.amount import amount
from superset_ext.doctor.finding import Finding
from superset_ext.host.dashboards import auto_refreshes, auto_refreshes_force
from superset_ext.host.granting import is_enabled
from superset_ext.package import Package
from superset_ext.plans.rewrite.automatic.report import report
from superset_ext.settings import PREFIX


def check_version(app: Any, package: Package) -> Iterator[Finding]:
    """This Superset is one that the package knows."""
    version = app.config.get("VERSION_STRING", "")
    if not package.left_alone:
        yield Finding("superset", "fine", f"Superset {version}")
    for reason in package.left_alone:
        yield Finding("superset", "error", reason, "use a release of the package for your Superset")


def check_optimizer(_app: Any, _package: Package) -> Iterator[Finding]:
    """Superset does not let sqlglot's optimizer change what is asked."""
    if is_enabled("OPTIMIZE_SQL"):
        message = (
            "OPTIMIZE_SQL moves conditions through a LIMIT and into aggregates of virtual datasets, which changes "
        )
        message += "answers (sqlglot's optimizer gave 13 wrong answers of 84)"
        fix = f"leave it out of FEATURE_FLAGS; {PREFIX}REWRITES has rules that are proven"
        yield Finding("rewrites", "warning", message, fix)


def check_rewrites(_app: Any, package: Package) -> Iterator[Finding]:
    """Rewrites of charts can be compared and counted, and none gave other rows."""
    if not package.settings.rewrites:
        return
    if package.recorder is None or package.database is None:
        message = f"{PREFIX}REWRITES has no effect: what was compared cannot be written"
        yield Finding("rewrites", "error", message, f"set {PREFIX}LOG_DATABASE_URL, and {PREFIX}RECORDER=true")
        return
    off = report(package.database, ()).off
    for row in off:
        message = f"{row['rule']} gave other rows for dataset {row['dataset'] or row['dataset_id']} and is off there"
        yield Finding("rewrites", "warning", message, "see: superset perf rewrite --automatic")
    if not off:
        yield Finding("rewrites", "fine", "no rewrite of a chart gave other rows")


def check_aggregates(_app: Any, package: Package) -> Iterator[Finding]:
    """Charts that are answered from aggregates can be compared and counted, and no aggregate gave other rows."""
    if not package.settings.aggregates:
        return
    if package.recorder is None or package.database is None:
        message = f"{PREFIX}AGGREGATES has no effect: what was compared cannot be written"
        yield Finding("aggregates", "error", message, f"set {PREFIX}LOG_DATABASE_URL, and {PREFIX}RECORDER=true")
        return
    off = switched_off(package.database)
    for row in off:
        message = f"the aggregate {row['aggregate']} of database {row['database_id']} gave other rows and is off"
        yield Finding("aggregates", "warning", message, "see: superset perf aggregates list; drop it and build it anew")
    if not off:
        answered = sum(row["answered"] for row in answering(package.database))
        yield Finding(
            "aggregates", "fine", f"{amount(answered, 'statement')} answered from aggregates, none with other rows"
        )


def check_refreshing(app: Any, _package: Package) -> Iterator[Finding]:
    """No dashboard asks the database at each of its refreshes."""
    if not auto_refreshes_force(app):
        yield Finding("dashboards", "fine", "automatic refreshes use the cache")
        return
    forcing = list(auto_refreshes())
    for _, title, seconds in forcing:
        message = f"the dashboard {title!r} asks the database anew every {seconds} s in each browser that shows it"
        yield Finding(
            "dashboards", "warning", message, 'set DASHBOARD_AUTO_REFRESH_MODE = "fetch": what changed is fresh anyway'
        )
    if not forcing:
        yield Finding("dashboards", "fine", "no dashboard refreshes by itself")
