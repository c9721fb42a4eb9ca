"""The doctor's reasons: the true one, as the server said it, and each once. Real regions, without a Superset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.doctor import caches, examine, freshness, log, monitoring
from superset_ext.doctor.finding import Finding
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import Valkey
from superset_ext.host.regions import HELD
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.package import Package
from superset_ext.settings import CONFIG_NAMES, Region, load
from testing.regions import chart_region, client_of


def app_of(url: str, **env: str) -> tuple[Any, Package]:
    """All regions on a server, and a log that is away."""
    settings = load({"SUPERSET_EXT_REDIS_URL": url, **env})
    held = {str(region): RegionCache(region, settings) for region in CONFIG_NAMES}
    database = LogDatabase("postgresql://u:secret@127.0.0.1:9/none")
    return SimpleNamespace(extensions={HELD: held}, config={}), Package(settings, database, None, ())


def wrong(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and text of all that is not fine."""
    return [(one.level, f"{one.message}; {one.fix}") for one in findings if one.level != "fine"]


@pytest.mark.parametrize(
    ("policy", "level", "pattern"),
    [
        ("allkeys-lru", "warning", "evicts by allkeys-lru: when the marks of changes go, every chart is asked anew"),
        ("volatile-lru", "warning", r"uses \d+% of its memory; raise maxmemory, or shorten timeouts"),
        ("noeviction", "warning", "is noeviction: when it is full, it takes nothing new; set maxmemory-policy"),
    ],
)
def test_a_policy(fresh_valkey: Callable[..., Valkey], policy: str, level: str, pattern: str) -> None:
    """Intent: a server that evicts the marks of changes, is nearly full, or takes nothing new, is told with the fix."""
    server = fresh_valkey(args=["--maxmemory", "64mb", "--maxmemory-policy", policy])
    if policy == "volatile-lru":
        with closing(redis.Redis.from_url(server.url)) as client:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.95))
    findings = wrong(caches.check_servers(*app_of(server.url)))
    assert {one for one, _ in findings} == {level}, findings
    assert all(re.search(pattern, text) for _, text in findings), findings


def test_a_server_that_takes_the_whole_machine(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: a server without a limit of its memory is told, with both settings that it lacks."""
    server = fresh_valkey(args=["--maxmemory", "0", "--maxmemory-policy", "noeviction"])
    ((level, text),) = wrong(caches.check_servers(*app_of(server.url)))
    assert level == "warning"
    assert "has no maxmemory; set maxmemory, and set maxmemory-policy volatile-lru" in text


def test_bad_stamps(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: what somebody else wrote in the place of a stamp is found before anybody reads it."""
    server = fresh_valkey(args=["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"])
    app, package = app_of(server.url)
    region = app.extensions[HELD][str(Region.CHART_DATA)] = chart_region(server.url)
    region.stamp(["dataset:1", "dataset:2"])
    assert wrong(caches.check_stamps(app, package)) == []
    with closing(client_of(server.url, Region.CHART_DATA)) as client:
        client.hset("chart_~stamps", "dataset:1", "soon")
    ((level, text),) = wrong(caches.check_stamps(app, package))
    assert level == "error" and re.search("1 marks of changes are none, .*; find out who else writes", text)


def test_views(database: LogDatabase) -> None:
    """Intent: views that are not there, one that cannot be refreshed, and one that nobody has refreshed for long."""
    app, package = app_of("redis://127.0.0.1:9")
    package = replace(package, database=database)
    ((level, text),) = wrong(monitoring.check_views(app, package))
    assert level == "error" and re.search(
        r"not made: perf_cache_hour, .*perf_refresh.*; run: superset perf upgrade", text
    )
    apply_views(database)
    assert wrong(monitoring.check_views(app, package)) == []
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.view_refresh SET error = 'no space' WHERE view = 'perf_chart'")
        cursor.execute("UPDATE superset_ext.view_refresh SET refreshed_at = now() - interval '1 h'"
                       " WHERE view = 'perf_alert'")  # fmt: skip
    text = " ".join(text for _, text in wrong(monitoring.check_views(app, package)))
    assert "perf_chart could not be refreshed: no space" in text
    assert re.search(r"perf_alert was last refreshed 3[6-9]\d\d s ago; see that Celery beat", text)


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
