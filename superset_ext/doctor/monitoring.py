"""What the performance dashboards show, whether they can read it, and whether alerts reach anybody."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from superset_ext.doctor.finding import Finding
from superset_ext.monitor.alerts.notify import SETTING
from superset_ext.monitor.dashboards.imported import database_url
from superset_ext.monitor.dashboards.reader import connects, unreadable
from superset_ext.monitor.rollup.views import view_files, view_of
from superset_ext.package import Package
from superset_ext.settings import PREFIX

_INSTALL = "run: superset perf dashboards install"
LATE_TURNS, LATE_SECONDS = 5, 300.0  # of the refresh; at least these, since a worker may be busy
_VIEWS = """
SELECT name, to_regclass('superset_ext.' || name) IS NOT NULL AS made, error,
    extract(epoch FROM now() - coalesce(refreshed_at, failed_since))::float8 AS age
FROM unnest(%s::text[]) WITH ORDINALITY AS named (name, place) LEFT JOIN superset_ext.view_refresh ON view = name
ORDER BY place
"""
_UNDELIVERED = """
SELECT count(*) AS n, max(error) AS error FROM superset_ext.performance_alert_notice
WHERE error IS NOT NULL AND created_at > now() - interval '1 day'
"""


def check_views(_app: Any, package: Package) -> Iterator[Finding]:
    """Each view is there, and its numbers are of the last minutes."""
    if package.database is None or package.database.pending():
        return
    names = ["rollups", "names", *(view_of(path) for path in view_files())]
    rows = package.database.rows(_VIEWS, (names,))
    if missing := [row["name"] for row in rows[2:] if not row["made"]]:
        yield Finding("views", "error", f"not made: {', '.join(missing)}", "run: superset perf upgrade")
        return
    late = max(LATE_TURNS * package.settings.refresh_seconds, LATE_SECONDS)
    wrong = list(_late(rows, late))
    yield from wrong
    if not wrong:
        yield Finding("views", "fine", _as_of(rows, package.settings.refresh_seconds))


def _as_of(rows: list[dict[str, Any]], every: float) -> str:
    ages = [row["age"] for row in rows if row["age"] is not None]
    if not ages:
        return f"the dashboards' numbers are there; they are refreshed every {every:g} s"
    return f"the dashboards' numbers are all of the last {max(ages):.0f} s; they are refreshed every {every:g} s"


def _late(rows: list[dict[str, Any]], late: float) -> Iterator[Finding]:
    for row in rows:
        if row["error"]:
            message = f"{row['name']} could not be refreshed: {row['error']}"
            yield Finding("views", "error", message, "mend that, then run: superset perf refresh")
        elif row["age"] is not None and row["age"] > late:
            message = f"{row['name']} was last refreshed {row['age']:.0f} s ago"
            yield Finding("views", "warning", message, "see that Celery beat and a worker run")


def check_reader(_app: Any, package: Package) -> Iterator[Finding]:
    """The dashboards' own role can log in, and read each view."""
    if package.database is None or package.database.pending() or not package.settings.dashboards:
        return
    try:
        url = database_url()
    except ValueError:
        message = "the entry of the performance dashboards' database cannot be decrypted"
        yield Finding("reader", "error", message, "set the SECRET_KEY with which it was written")
        return
    install = _by_hand() if package.settings.reader_url else _INSTALL
    if url is None:
        fix = f"{install}; or set {PREFIX}DASHBOARDS=false"
        yield Finding("reader", "warning", "the performance dashboards are not installed", fix)
    elif not connects(url):
        yield Finding("reader", "error", "the role that the performance dashboards read with cannot connect", install)
    elif lost := unreadable(package.database, url):
        message = f"the role that the performance dashboards read with may not read {', '.join(lost)}"
        yield Finding("reader", "error", message, install)
    else:
        yield Finding("reader", "fine", "the performance dashboards can read the log's views")


def _by_hand() -> str:
    """The fix where the role is somebody's own: the package cannot mend it."""
    return (
        f"run the statements of docs/security.md (The reader role) as an administrator of the log database, check"
        f" {PREFIX}READER_URL, then {_INSTALL}"
    )


def check_alerts(_app: Any, package: Package) -> Iterator[Finding]:
    """Somebody is told of alerts, and the notices arrive."""
    addresses = package.settings.alert_urls
    if package.database is None or package.database.pending():
        return
    if not addresses:
        yield Finding("alerts", "fine", f"are shown on the dashboard; {SETTING} is not set, so nobody is told")
        return
    if any("://" in address for address in addresses) and find_spec("apprise") is None:
        yield Finding("alerts", "error", f"{SETTING} needs Apprise, which is not installed", "run: pip install apprise")
        return
    (row,) = package.database.rows(_UNDELIVERED)
    if row["n"]:
        message = f"{row['n']} notices of the last day did not arrive: {row['error']}"
        yield Finding("alerts", "error", message, "correct the address, then run: superset perf alerts try")
    else:
        yield Finding("alerts", "fine", f"go to {len(addresses)} addresses")
