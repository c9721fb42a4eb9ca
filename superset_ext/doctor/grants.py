"""Whether answers are given again, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superset_ext.doctor.finding import Finding
from superset_ext.grants.install import grants
from superset_ext.grants.triggers import is_possible
from superset_ext.host.granting import metadata_engine
from superset_ext.package import Package
from superset_ext.settings import PREFIX


def check_grants(app: Any, package: Package) -> Iterator[Finding]:
    """What tells that a right or an object has changed is there."""
    mode, made = package.settings.grants, grants(app)
    if made is None:
        reason = f"{PREFIX}GRANTS is off" if mode == "off" else "chart data is not kept by this package"
        yield Finding("grants", "fine", f"no answer is given again: {reason}")
    elif why := made.hooks.impossible():
        yield Finding("grants", "fine", f"no answer is given again: {why}")
    elif mode == "stamps":
        message = "answers are given again; what SQL of other tools takes from somebody is seen after ten seconds"
        better = "triggers" if is_possible(metadata_engine(app)) else "off, where that is too long"
        yield Finding("grants", "warning", message, f"set {PREFIX}GRANTS={better}")
    elif made.stamps.look():
        yield Finding("grants", "fine", "answers are given again; triggers on the metadata database tell of changes")
    elif is_possible(metadata_engine(app)):
        message, _, fix = made.stamps.missing.partition(": ")
        yield Finding("grants", "warning", f"no answer is given again: {message}", fix or "see docs/grants.md")
    else:
        yield Finding("grants", "fine", f"no answer is given again: {made.stamps.missing}")
