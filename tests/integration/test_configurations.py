"""Whole configurations, shaped after public ones: they load, start a worker and a beat, and keep what they say.

The table is that of docs/configurations.md: what a row does not name as changed is as it was without the package.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flask_caching.backends import SimpleCache

from superset_ext.embedded.valkey import Valkey
from testing.programs import program

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "configurations"
PAGE = ROOT / "docs" / "configurations.md"
CACHES = {
    "CACHE_CONFIG", "DATA_CACHE_CONFIG", "FILTER_STATE_CACHE_CONFIG", "EXPLORE_FORM_DATA_CACHE_CONFIG",
    "THUMBNAIL_CACHE_CONFIG", "RESULTS_BACKEND",
}  # fmt: skip
ADDED = {"CELERY_CONFIG", "EVENT_LOGGER", "FEATURE_FLAGS", "FLASK_APP_MUTATOR", "SUPERSET_EXT_REPLACED"}
# No Celery; and what Superset's image lacks without an extra.
UNSTARTED = {"celery_none", *(() if find_spec("authlib") else ("oauth",))}
FLAGS = {"CACHE_IMPERSONATION", "DASHBOARD_RBAC"}
CELERY = {"imports", "beat_schedule", "task_routes", "task_queues"}
pytestmark = pytest.mark.timeout(600)


class Memcached(SimpleCache):
    """A cache of somebody's own."""


def rows() -> dict[str, tuple[set[str], set[str], str]]:
    """The table: of each config the caches that are kept, those said to be replaced, and the timeout of charts."""
    table = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| [") and len(cells) == 5:
            name = re.findall(r"`(\w+)`", cells[0])[0]
            table[name] = (set(re.findall(r"`(\w+)`", cells[2])), set(re.findall(r"`(\w+)`", cells[3])), cells[4])
    return table


def test_every_configuration_has_its_row() -> None:
    """Intent: at least 20 whole ones, each with what becomes of it."""
    assert sorted(rows()) == sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    assert len(rows()) >= 20


@pytest.fixture(scope="module")
def loaded(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Loads a config, with the package or without."""
    folders = tmp_path_factory.mktemp("configurations")

    @cache
    def load(name: str, with_it: bool) -> dict[str, Any]:
        folder = folders / name
        folder.mkdir(exist_ok=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("SUPERSET")}
        env |= {
            "SUPERSET_CONFIG_PATH": str(FOLDER / f"{name}.py"), "SUPERSET_HOME": str(folder),
            "TEST_FOLDER": str(folder), "PYTHONPATH": str(ROOT), "TEST_REDIS": shared_valkey.url,
            "TEST_DATABASE": f"sqlite:///{folder}/meta.db",
        }  # fmt: skip
        if with_it:
            env |= {"SUPERSET_EXT_REDIS_URL": shared_valkey.url, "SUPERSET_EXT_RECORDER": "false"}
        code = "from testing.configuration import main; main()"
        words = [program("python"), "-c", code, *(["start"] if with_it and name not in UNSTARTED else [])]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
        lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
        assert lines, done.stdout[-2000:] + done.stderr[-4000:]
        report: dict[str, Any] = json.loads(lines[-1].removeprefix("TOLD "))
        return {**report, "ready": "READY" in done.stdout}

    return load


@pytest.mark.thorough
@pytest.mark.parametrize("name", rows())
def test_a_configuration_loads_starts_and_differs_only_as_its_row_says(loaded: Any, name: str) -> None:
    """Intent: whatever they have is taken, and changes only where the documentation says so, name by name."""
    kept, replaced, timeout = rows()[name]
    before, after = loaded(name, False), loaded(name, True)
    names = before["names"], after["names"]
    changed = {key for key in {*names[0], *names[1]} if names[0].get(key) != names[1].get(key)}
    assert changed <= (CACHES - kept) | ADDED
    assert changed >= {"DATA_CACHE_CONFIG", "FLASK_APP_MUTATOR"}
    assert set(names[1]["SUPERSET_EXT_REPLACED"]) == replaced
    assert str(names[1]["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"]) == timeout
    flags = before["names"]["FEATURE_FLAGS"], after["names"]["FEATURE_FLAGS"]
    assert set(flags[1]) - set(flags[0]) <= FLAGS
    assert {flag: flags[1][flag] for flag in flags[0]} == flags[0]
    if before["celery"] is None:
        assert after["celery"] is None
    else:
        assert_celery(before["celery"], after)


def assert_celery(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Celery has what it had, our additions, and a broker of ours in the place of a SQLite file."""
    celery = after["celery"]
    may = CELERY | ({"broker_url", "result_backend"} if "sqlite" in str(before["broker_url"]) else set())
    differs = {name for name in {*before, *celery} if before.get(name) != celery.get(name)}
    assert {name for name in differs if name in before and name.islower()} <= may
    own = before["imports"]
    assert set([own] if isinstance(own, str) else own or ()) <= set(celery["imports"])
    assert (before["beat_schedule"] or {}).items() <= celery["beat_schedule"].items()
    if "tasks" not in after:
        return
    assert "superset_ext.warm" in after["tasks"]
    assert "superset_ext.freshness_tick" in after["beat"]
    assert after["installed"]
    if str(celery["broker_url"]).startswith("redis"):
        assert after["ready"]
        assert "superset_ext_warm" in after["queues"]
