"""The doctor's reasons: the true one, as the server said it, and each once. Real regions, without a Superset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery

from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.doctor import caches, examine, freshness, log, monitoring, workers
from superset_ext.doctor.finding import Finding
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import Valkey
from superset_ext.host.regions import HELD
from superset_ext.monitor.rollup.views import apply_views, refresh
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
    away = f"redis://127.0.0.1:{free_port()}"
    own = {"SUPERSET_EXT_THUMBNAILS_URL": f"{fresh_valkey().url}/6", "SUPERSET_EXT_METADATA_URL": f"{away}/9"}
    app, package = app_of(away, **own)
    errors = [one for one in caches.check_servers(app, package) if one.level == "error"]
    assert len(errors) == 1 and "Connection refused" in errors[0].message
    assert all(str(region) in errors[0].message for region in CONFIG_NAMES if region is not Region.THUMBNAILS)
    assert errors[0].fix == "check SUPERSET_EXT_REDIS_URL and SUPERSET_EXT_METADATA_URL, and that it runs"


def test_regions_with_different_reasons_are_one_line_of_their_server(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: a server that refuses two databases in two ways is one fault with the variables that are set."""
    server = fresh_valkey(args=["--databases", "4"])
    with closing(redis.Redis.from_url(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "nobody", "on", ">x", "-@all")
    app, package = app_of(server.url, SUPERSET_EXT_CHART_DATA_URL=f"redis://nobody:x@127.0.0.1:{server.port}/3")
    (error,) = [one for one in caches.check_servers(app, package) if one.level == "error"]
    assert {"chart_data", "filter_state", "thumbnails"} <= set(error.message.replace(",", "").split())
    assert error.fix == "check SUPERSET_EXT_REDIS_URL and SUPERSET_EXT_CHART_DATA_URL, and that it runs"


def test_the_doctor_warns_in_its_own_words_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Intent: what the caches log of a server that is away says again what the doctor says of it."""
    examine.examine(*app_of(f"redis://127.0.0.1:{free_port()}"))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("superset_ext")] == []


def test_a_broker_that_forbids_is_told_with_the_rights(
    fresh_valkey: Callable[..., Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: the regions' own ACL user is refused on the broker; the rights that are named are enough for Celery."""
    server = fresh_valkey()
    with closing(redis.Redis.from_url(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "cache", "on", ">x", "resetchannels", "~chart_*", "-@all", "+get")
        rights = workers.BROKER_RIGHTS.split()
        client.execute_command("ACL", "SETUSER", "celery", "on", ">x", "resetchannels", "-@all", *rights)
    findings = {}
    for user in ("cache", "celery"):
        celery = Celery(broker=f"redis://{user}:x@127.0.0.1:{server.port}/0")
        monkeypatch.setattr(workers, "queue_of", lambda _app: None)
        monkeypatch.setattr(workers, "REPLY_SECONDS", (0.5,))
        ask = partial(celery.control.broadcast, "x", reply=True)
        monkeypatch.setattr(workers, "reports_within", lambda seconds, ask=ask: dict(ask(timeout=seconds) or ()))
        findings[user] = [*workers.check_workers(*app_of(server.url))]
    (refused,) = findings["cache"]
    assert "broker refused: " in refused.message and workers.BROKER_RIGHTS in refused.fix
    assert [one.message for one in findings["celery"]] == ["no Celery worker answers within 0.5 s"]


def test_tables_that_are_not_made_yet_are_said_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: before the first `superset perf upgrade` no other check says that its table is missing."""
    app, package = app_of("redis://127.0.0.1:9")
    checks = (log.check_log, workers.check_beat, freshness.check_watches, monitoring.check_views)
    monkeypatch.setattr(examine, "CHECKS", checks)
    with closing(LogDatabase(database_url)) as empty:
        monkeypatch.setattr(freshness, "watches", lambda: empty.rows("SELECT * FROM superset_ext.cache_watch"))
        findings = examine.examine(app, replace(package, database=empty))
    assert [(one.check, one.fix) for one in findings] == [("log", "run: superset perf upgrade")]


def test_the_views_age_is_said(database: LogDatabase) -> None:
    """Intent: how old the numbers are, and how old they become, are two numbers with their names."""
    app, package = app_of("redis://127.0.0.1:9")
    apply_views(database)
    refresh(database, 500.0)
    (fine,) = monitoring.check_views(app, replace(package, database=database))
    pattern = r"the dashboards' numbers are all of the last \d+ s; they are refreshed every 60 s"
    assert fine.level == "fine" and re.fullmatch(pattern, fine.message)


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
