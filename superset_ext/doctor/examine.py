"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.core.driver_errors import first_line
from superset_ext.doctor import caches, freshness, log, monitoring, superset, warming, workers
from superset_ext.doctor.finding import Check, Finding
from superset_ext.package import Package

CHECKS: Sequence[Check] = (
    superset.check_version,
    caches.check_kinds,
    caches.check_config,
    caches.check_prefixes,
    caches.check_servers,
    caches.check_stamps,
    log.check_log,
    log.check_clocks,
    workers.check_workers,
    workers.check_beat,
    warming.check_browser,
    freshness.check_rules,
    freshness.check_probes,
    freshness.check_watches,
    monitoring.check_views,
    monitoring.check_reader,
    monitoring.check_alerts,
    superset.check_refreshing,
)


def examine(app: Any, package: Package) -> list[Finding]:
    """What each check found; one that fails is an error of its own. Needs the app's context."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check(app, package)
        except Exception as error:  # noqa: BLE001  (a patient so ill that looking at it fails is what we look for)
            name = check.__name__.removeprefix("check_")
            found.append(Finding(name, "error", "could not be looked at", first_line(error)))
    return found
