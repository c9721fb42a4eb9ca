"""Celery's workers and beat."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from superset_ext.cache.region import RegionCache
from superset_ext.core.clock import skew
from superset_ext.core.driver_errors import first_line
from superset_ext.doctor.finding import Finding
from superset_ext.doctor.log import SKEW_SECONDS
from superset_ext.freshness.tasks import TICK
from superset_ext.host.worker_report import reports as reports_within
from superset_ext.host.worker_report import secret
from superset_ext.package import Package
from superset_ext.settings import PREFIX, Region
from superset_ext.warm.service import queue_of

REPLY_SECONDS = (2.0, 10.0)  # the second where the first brings too little: a worker may be slow
SILENT_SECONDS = 30.0  # the tick comes every five
Reports = dict[str, Mapping[str, Any]]  # by the worker's name
BROKER_RIGHTS = "~* &* +@all -@dangerous +info"  # of an ACL; kombu makes keys and channels of many names
_AGE = "SELECT extract(epoch FROM now() - at) AS age FROM superset_ext.heartbeat WHERE name = %s"
_START = "start one: celery --app=superset.tasks.celery_app:app worker"


def check_workers(app: Any, _package: Package) -> Iterator[Finding]:
    """Workers answer, are set as this process is, and consume all queues."""
    from superset_ext.host.services import celery_app

    queue = queue_of(celery_app)
    reports: Reports = {}
    try:
        for seconds in REPLY_SECONDS:
            if not _warms(reports, queue):
                reports |= _asked(seconds)
    except Exception as error:  # noqa: BLE001  (whatever the broker's transport raises)
        yield _refused(first_line(error))
        return
    if not reports:
        message = f"no Celery worker answers within {REPLY_SECONDS[-1]:g} s"
        yield Finding("workers", "error", message, f"check the broker's URL, or {_START}")
        return
    for name, report in sorted(reports.items()):
        yield from _worker(app, name, report)
    if not _warms(reports, queue):
        fix = f"add {queue} to a worker's -Q, or start one for it"
        yield Finding("workers", "warning", f"nobody consumes {queue}, so nothing is warmed", fix)
    yield Finding("workers", "fine", f"{len(reports)} answer")


def _refused(reason: str) -> Finding:
    """The broker does not let the doctor ask, in its own words, with what to change."""
    if "NOPERM" in reason or "no permissions" in reason:
        fix = f"give the user of the broker's URL the rights {BROKER_RIGHTS} there, or Celery a server of its own with"
        fix += f" {PREFIX}BROKER_URL"
    else:
        fix = f"check {PREFIX}BROKER_URL, or {PREFIX}REDIS_URL where that is not set, and that the broker runs"
    return Finding("workers", "error", f"could not be asked, since Celery's broker refused: {reason}", fix)


def _asked(seconds: float) -> Reports:
    """What the workers report that answer in time, each with the `skew` of its clock."""
    before = time.time()
    reports = reports_within(seconds)
    after = time.time()
    return {
        name: {**report, "skew": skew(float(report.get("time", after)), before, after)}
        for name, report in reports.items()
    }


def _warms(reports: Reports, queue: str | None) -> bool:
    """Whether somebody consumes what is to be warmed; where its route names no queue, whoever answers may."""
    return any(queue is None or queue in report.get("queues", ()) for report in reports.values())


def _worker(app: Any, name: str, report: Mapping[str, Any]) -> Iterator[Finding]:
    if not report.get("switched_on"):
        fix = "mount the same superset_config.py and set the same SUPERSET_EXT_… there"
        yield Finding("workers", "error", f"{name} does not run the package", fix)
        return
    if report["secret"] != secret(app):
        message = f"{name} has another SECRET_KEY, so it and the web server take each other's entries for forged"
        yield Finding("workers", "error", message, "give both the same SECRET_KEY")
    if isinstance(app.config.get("RESULTS_BACKEND"), RegionCache) and report["results"] != RegionCache.__name__:
        message = f"{name} keeps SQL Lab's results in {report['results']}, where the web server does not look"
        yield Finding("workers", "error", message, "give both the same RESULTS_BACKEND")
    for region in report["unreached"]:
        loses = ", so asynchronous queries fail" if region == Region.QUERY_RESULTS else ""
        message = f"{name} does not reach the server of {region}{loses}"
        yield Finding("workers", "error", message, "check that URL and the network from there")
    off = report["skew"]
    if abs(off) > SKEW_SECONDS:
        message = f"the clock of {name} is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
        yield Finding("clocks", "warning", message, "let both follow the same time server")


def check_beat(_app: Any, package: Package) -> Iterator[Finding]:
    """Celery beat sends, and somebody does what it sends."""
    if package.database is None:
        return
    rows = package.database.rows(_AGE, (TICK,))
    fix = "run one `celery --app=superset.tasks.celery_app:app beat`, with a --schedule file that it may write, "
    fix += "and a worker of its default queue"
    if not rows:
        yield Finding("beat", "error", "Celery beat has never run", fix)
    elif float(rows[0]["age"]) > SILENT_SECONDS:
        yield Finding("beat", "error", f"nothing of Celery beat has been done for {float(rows[0]['age']):.0f} s", fix)
    else:
        yield Finding("beat", "fine", f"last heard {float(rows[0]['age']):.0f} s ago")
