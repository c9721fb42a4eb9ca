"""What the star import brings into a config, and what it leaves of the user's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from superset_ext.cache.region import RegionCache
from superset_ext.config import names
from superset_ext.configuration.celery import celery_config
from superset_ext.settings import load

ROOT = Path(__file__).resolve().parents[2]
SUPERSET_CONFIG = Path(str(find_spec("superset").origin)).with_name("config.py")  # type: ignore[union-attr]
OURS = tuple(
    f"superset_ext.{name}"
    for name in (*map("{}.tasks".format, ("freshness", "monitor", "plans", "aggregates", "warm")), "host.worker_report")
)
SETTINGS = load(
    {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379", "SUPERSET_EXT_DATABASE_URL": "postgresql://db/superset"}
)


class Celery:
    """A user's own Celery config, as Superset's documentation shows it."""

    broker_url = "redis://own:6379/9"
    imports = ("superset.sql_lab", "mine.tasks")
    beat_schedule = {"mine": {"task": "mine.tasks.go", "schedule": 60}}  # noqa: RUF012


def test_five_regions_come_as_config_dicts_and_the_sixth_as_an_object() -> None:
    """Intent: each of the six caches is reached through the name that Superset reads."""
    config = names(SETTINGS, {})
    regions = {v["SUPERSET_EXT_REGION"] for k, v in config.items() if k.endswith("CACHE_CONFIG")}
    assert regions == {"metadata", "chart_data", "filter_state", "explore_form_data", "thumbnails"}
    assert isinstance(config["RESULTS_BACKEND"], RegionCache)


def test_nothing_is_brought_without_a_redis() -> None:
    """Intent: without our variables Superset runs as stock."""
    assert names(load({}), {}) == {}


def test_the_users_own_mutator_runs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a config that has a FLASK_APP_MUTATOR keeps it."""
    from superset_ext import install

    order: list[str] = []
    monkeypatch.setattr(install, "install", lambda app: order.append(f"ours {app}"))
    names(SETTINGS, {"FLASK_APP_MUTATOR": lambda app: order.append(f"own {app}")})["FLASK_APP_MUTATOR"]("app")
    assert order == ["own app", "ours app"]


@pytest.mark.parametrize("own", [Celery, Celery(), dict(vars(Celery))], ids=["class", "object", "dict"])
def test_celery_config_is_added_to(own: Any) -> None:
    """Intent: the user's broker, imports and schedule stay, whatever form the config has."""
    merged = celery_config(SETTINGS, own)
    read = merged.__getitem__ if isinstance(merged, dict) else lambda name: getattr(merged, name)
    assert read("broker_url") == "redis://own:6379/9"
    assert read("imports") == ("superset.sql_lab", "mine.tasks", *OURS)
    assert set(read("beat_schedule")) > {"mine"}
    assert Celery.imports == ("superset.sql_lab", "mine.tasks"), "the user's own object is left as it was"


def test_old_celery_names_are_not_mixed_with_new_ones() -> None:
    """Intent: Celery refuses a config with both."""
    merged = celery_config(SETTINGS, {"CELERY_IMPORTS": ("mine",)})
    assert merged["CELERY_IMPORTS"] == ("mine", *OURS)
    assert not {"imports", "beat_schedule", "task_routes", "task_queues"} & set(merged)


def test_a_worker_without_queues_of_its_own_consumes_warming_s_too() -> None:
    """Intent: warming works where nobody has changed how workers are started."""
    merged = celery_config(SETTINGS, {"task_default_queue": "mine"})
    assert [queue.name for queue in merged["task_queues"]] == ["mine", "superset_ext_warm"]


def test_celery_switched_off_stays_off() -> None:
    """Intent: CELERY_CONFIG = None is Superset's way to run without Celery."""
    assert celery_config(SETTINGS, None) is None


def test_broker_is_database_0_and_tls_says_how_it_checks() -> None:
    """Intent: the broker never shares a database with a region; Celery's Redis backend wants ssl_cert_reqs."""
    assert SETTINGS.broker() == "redis://cache:6379/0"
    secure = load({"SUPERSET_EXT_REDIS_URL": "rediss://:p@cache:6379"})
    assert secure.broker() == "rediss://:p@cache:6379/0?ssl_cert_reqs=required"


def test_the_users_choices_stay() -> None:
    """Intent: a metadata database or a feature flag of the user's own wins."""
    own = {"SQLALCHEMY_DATABASE_URI": "postgresql://mine/x", "FEATURE_FLAGS": {"CACHE_IMPERSONATION": False, "A": True}}
    config = names(SETTINGS, own)
    assert "SQLALCHEMY_DATABASE_URI" not in config
    assert config["FEATURE_FLAGS"] == {"CACHE_IMPERSONATION": False, "A": True}


@pytest.mark.parametrize("value", [None, "false", "true"])
def test_feature_flags_are_those_of_superset_and_of_the_environment(value: str | None) -> None:
    """Intent: installing changes no flag but the one that keeps users apart, and no flag that the environment sets."""
    code = (
        "import json, superset.config as c;"
        "print(json.dumps([c.DEFAULT_FEATURE_FLAGS, {**c.DEFAULT_FEATURE_FLAGS, **c.FEATURE_FLAGS}]))"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SUPERSET_EXT_REDIS_URL": "redis://cache:6379"}
    if value:
        names_of_flags = re.findall(r'^    "([A-Z_]+)": (?:True|False)', SUPERSET_CONFIG.read_text(), re.MULTILINE)
        assert {"DASHBOARD_RBAC", "CACHE_IMPERSONATION", "EMBEDDED_SUPERSET"} < set(names_of_flags)
        env |= {f"SUPERSET_FEATURE_{name}": value for name in names_of_flags}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    stock, ours = json.loads(done.stdout.strip().splitlines()[-1])
    changed = {name: ours[name] for name in ours if ours[name] != stock[name]}
    assert changed == ({} if value else {"CACHE_IMPERSONATION": True})


def test_metastore_stays_selectable() -> None:
    """Intent: filter state can stay in Superset's own metastore cache."""
    chosen = load({"SUPERSET_EXT_REDIS_URL": "redis://c", "SUPERSET_EXT_FILTER_STATE_BACKEND": "metastore"})
    assert names(chosen, {})["FILTER_STATE_CACHE_CONFIG"]["CACHE_TYPE"] == "SupersetMetastoreCache"


@pytest.mark.parametrize("by_path", [True, False], ids=["SUPERSET_CONFIG_PATH", "PYTHONPATH"])
def test_a_config_of_ones_own_is_chained_as_superset_loads_it(tmp_path: Path, by_path: bool) -> None:
    """Intent: both ways in which Superset finds a config see the names that stand above the star import."""
    (tmp_path / "superset_config.py").write_text(
        "def FLASK_APP_MUTATOR(app): print('own', app)\nFEATURE_FLAGS = {'MINE': True}\n"
        "from superset_ext.config import *\n"
    )
    code = (
        "import superset.config as c; from superset_ext import install; install.install = lambda a: print('ours', a);"
        "c.FLASK_APP_MUTATOR('app'); print(c.FEATURE_FLAGS, c.DATA_CACHE_CONFIG['SUPERSET_EXT_REGION'],"
        " c.CELERY_CONFIG.broker_url, 'reports.scheduler' in c.CELERY_CONFIG.beat_schedule)"
    )
    config = {"SUPERSET_CONFIG_PATH": str(tmp_path / "superset_config.py")} if by_path else {}
    path = str(ROOT) if by_path else os.pathsep.join([str(tmp_path), str(ROOT)])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "SUPERSET_EXT_REDIS_URL": "redis://cache:6379", **config}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()[-3:]
    assert lines == [
        "own app",
        "ours app",
        "{'CACHE_IMPERSONATION': True, 'MINE': True} chart_data redis://cache:6379/0 True",
    ], done.stderr


def test_a_config_that_imports_another_is_chained_whole(tmp_path: Path) -> None:
    """Intent: the official compose project's overrides file is star-imported by its superset_config.py."""
    (tmp_path / "overrides.py").write_text("from superset_ext.config import *\n")
    (tmp_path / "superset_config.py").write_text(
        "FEATURE_FLAGS = {'ALERT_REPORTS': True}\nclass CeleryConfig:\n    broker_url = 'redis://own/9'\n"
        "CELERY_CONFIG = CeleryConfig\nfrom overrides import *\n"
    )
    code = "import superset.config as c; print(c.FEATURE_FLAGS['ALERT_REPORTS'], c.CELERY_CONFIG.broker_url)"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "SUPERSET_EXT_REDIS_URL": "redis://cache:6379",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().splitlines()[-1] == "True redis://own/9", done.stderr


def test_a_drop_in_config_without_its_package_is_one_line(tmp_path: Path) -> None:
    """Intent: with SUPERSET_CONFIG_PATH the config's folder is on no path; that is said in a line, not in sixty."""
    config = tmp_path / "superset_config.py"
    config.write_text((ROOT / "superset_config.py").read_text())
    env = {"PATH": os.environ["PATH"], "SUPERSET_EXT_REDIS_URL": "redis://cache:6379"}
    words = [sys.executable, "-I", "-c", f"import runpy; runpy.run_path({str(config)!r})"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "superset_ext cannot be imported: put the folder that it lies in on PYTHONPATH\n"


def test_the_event_logger_is_chosen_only_where_nobody_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: rows wait for half a second where nobody has chosen a logger; a config's own logger stays, and so does
    stock's where no waiting is asked for."""
    from types import ModuleType

    from superset.utils.log import DBEventLogger, StdOutEventLogger

    from superset_ext.host.event_logger import BatchedEventLogger

    superset = ModuleType("superset.config")
    vars(superset)["EVENT_LOGGER"] = DBEventLogger()
    monkeypatch.setitem(sys.modules, "superset.config", superset)
    redis = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379"}
    waiting, at_once = load(redis), load({**redis, "SUPERSET_EXT_EVENT_LOG_SECONDS": "0"})
    assert waiting.event_log_seconds == 0.5
    assert isinstance(names(waiting, {})["EVENT_LOGGER"], BatchedEventLogger)
    assert "EVENT_LOGGER" not in names(at_once, {})
    assert "EVENT_LOGGER" not in names(waiting, {"EVENT_LOGGER": DBEventLogger()})
    vars(superset)["EVENT_LOGGER"] = StdOutEventLogger()
    assert "EVENT_LOGGER" not in names(waiting, {})
