"""The log database, and whether all clocks agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from superset_ext.core.clock import skew
from superset_ext.doctor.finding import Finding
from superset_ext.errors import SupersetExtError
from superset_ext.host.regions import regions
from superset_ext.package import Package
from superset_ext.settings import PREFIX

SKEW_SECONDS = 2.0
_ROW = """
INSERT INTO superset_ext.heartbeat (name) VALUES ('doctor') ON CONFLICT (name) DO UPDATE SET at = now()
"""
_FORGET = "DELETE FROM superset_ext.heartbeat WHERE name = 'doctor'"


def check_log(_app: Any, package: Package) -> Iterator[Finding]:
    """The log can be written, its tables are the ones of this version, and it is switched on."""
    if package.database is None:
        message = "nothing is logged, since the metadata database is not PostgreSQL"
        yield Finding("log", "error", message, f"set {PREFIX}LOG_DATABASE_URL to a PostgreSQL")
        return
    if pending := package.database.pending():
        yield Finding("log", "error", f"not applied yet: {', '.join(pending)}", "run: superset perf upgrade")
        return
    try:
        with package.database.transaction() as cursor:
            cursor.execute(_ROW)
            cursor.execute(_FORGET)
    except SupersetExtError as error:
        yield Finding("log", "error", "the log cannot be written", str(error))
        return
    if package.recorder is None:
        yield Finding("log", "warning", "hits and misses are not counted", f"set {PREFIX}RECORDER=true")
    else:
        yield Finding("log", "fine", "the log is written, and its tables are up to date")


def check_clocks(app: Any, package: Package) -> Iterator[Finding]:
    """The clocks of this machine, of each cache server and of the log database agree."""
    skews = {f"the server of {name}": cache.server_skew() for name, cache in regions(app).items()}
    if package.database is not None:
        before = time.time()
        (row,) = package.database.rows("SELECT extract(epoch FROM clock_timestamp()) AS now")
        skews["the log database"] = skew(float(row["now"]), before, time.time())
    off = {name: seconds for name, seconds in skews.items() if seconds is not None and abs(seconds) > SKEW_SECONDS}
    for name, seconds in off.items():
        message = (
            f"the clock of {name} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
        )
        yield Finding("clocks", "warning", message, "let both follow the same time server")
    if not off:
        yield Finding("clocks", "fine", f"agree within {SKEW_SECONDS:g} s")
