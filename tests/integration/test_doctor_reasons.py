"""The doctor's reasons: the true one, as the server said it, and each once. Real regions, without a Superset."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.doctor import caches, examine, freshness, log, monitoring
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import Valkey
from superset_ext.host.regions import HELD
from superset_ext.package import Package
from superset_ext.settings import CONFIG_NAMES, Region, load


def app_of(url: str, **env: str) -> tuple[Any, Package]:
    """All regions on a server, and a log that is away."""
    settings = load({"SUPERSET_EXT_REDIS_URL": url, **env})
    held = {str(region): RegionCache(region, settings) for region in CONFIG_NAMES}
    database = LogDatabase("postgresql://u:secret@127.0.0.1:9/none")
    return SimpleNamespace(extensions={HELD: held}, config={}), Package(settings, database, None, ())


def test_a_server_that_is_away_is_one_reason(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: one server that does not answer is one line with all of its regions; another one's is its own."""
    app, package = app_of(f"redis://127.0.0.1:{free_port()}", SUPERSET_EXT_THUMBNAILS_URL=f"{fresh_valkey().url}/6")
    errors = [one for one in caches.check_servers(app, package) if one.level == "error"]
    assert len(errors) == 1 and "Connection refused" in errors[0].message
    assert all(str(region) in errors[0].message for region in CONFIG_NAMES if region is not Region.THUMBNAILS)
    assert "SUPERSET_EXT_CHART_DATA_URL" in errors[0].fix


def test_a_refusal_is_told_as_the_server_said_it(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: a wrong password is no server that is away, and is in no line."""
    server = fresh_valkey(password="right")
    for url in (f"redis://127.0.0.1:{server.port}", f"redis://:wr0ng@127.0.0.1:{server.port}"):
        (error,) = [one for one in caches.check_servers(*app_of(url)) if one.level == "error"]
        assert any(
            word in error.message for word in ("NOAUTH", "uthentication required", "invalid username-password")
        ), error
        assert "wr0ng" not in error.message + error.fix


def test_a_reason_that_many_checks_have_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a log database that is away is one line, and not one for each check that needs it."""
    monkeypatch.setattr(examine, "CHECKS", (log.check_log, monitoring.check_views, monitoring.check_alerts))
    findings = examine.examine(*app_of(f"redis://127.0.0.1:{free_port()}"))
    assert [(one.check, one.level) for one in findings] == [("log", "error")]
    assert findings[0].message == "could not be looked at, and so could not views, alerts"
    assert "Connection refused" in findings[0].fix and "secret" not in findings[0].fix


def test_charts_that_are_cached_elsewhere_are_no_fault_of_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: with SUPERSET_EXT_CHART_DATA_BACKEND=own no marks are looked for, and watches are looked at."""
    app, package = app_of("redis://127.0.0.1:9")
    del app.extensions[HELD][str(Region.CHART_DATA)]
    row = {"database": "warehouse", "database_id": 1, "table": "public.sales", "problem": None, "listeners": 1}
    monkeypatch.setattr(freshness, "watches", lambda: [row])
    monkeypatch.setattr(freshness, "hints", lambda *_: [])
    monkeypatch.setattr(examine, "CHECKS", (caches.check_stamps, freshness.check_watches))
    assert [(one.check, one.level) for one in examine.examine(app, package)] == [("watches", "fine")]
