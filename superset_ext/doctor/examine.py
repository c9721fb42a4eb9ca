"""All checks, one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import MISSING
from superset_ext.core.quiet import unwarned
from superset_ext.doctor import caches, freshness, grants, log, monitoring, superset, warming, workers
from superset_ext.doctor.finding import Check, Finding
from superset_ext.errors import LogUnavailable
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
    grants.check_grants,
    monitoring.check_views,
    monitoring.check_reader,
    monitoring.check_alerts,
    superset.check_refreshing,
    superset.check_optimizer,
    superset.check_rewrites,
    superset.check_aggregates,
)


def examine(app: Any, package: Package) -> list[Finding]:
    """What each check found; one that fails is an error of its own, and a reason that several have is said once.

    Needs the app's context.
    """
    with unwarned():
        return _examined(app, package)


def _examined(app: Any, package: Package) -> list[Finding]:
    findings: list[Finding] = []
    failed: dict[str, list[str]] = defaultdict(list)
    for check in CHECKS:
        try:
            findings += check(app, package)
        except LogUnavailable as error:
            if error.sqlstate not in MISSING or not _is_pending(findings):
                failed[first_line(error)].append(check.__name__.removeprefix("check_"))
        except Exception as error:  # noqa: BLE001  (a patient so ill that looking at it fails is what we look for)
            failed[first_line(error)].append(check.__name__.removeprefix("check_"))
    return findings + [_failed(names, reason) for reason, names in failed.items()]


def _is_pending(findings: Sequence[Finding]) -> bool:
    """Whether it is said already that tables are not there yet, so that no later check need say so."""
    return any(finding.check == "log" and finding.level == "error" for finding in findings)


def _failed(names: Sequence[str], reason: str) -> Finding:
    others = f", and so could not {', '.join(names[1:])}" if len(names) > 1 else ""
    return Finding(names[0], "error", f"could not be looked at{others}", reason)
