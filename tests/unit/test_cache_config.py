"""Which of a config's own caches stay, which become regions, and what is said of these."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cachelib import FileSystemCache, NullCache, RedisCache, SimpleCache
from cachelib.base import BaseCache

from superset_ext import settings as process
from superset_ext.cache.region import RegionCache
from superset_ext.config import names
from superset_ext.configuration.notes import notes
from superset_ext.settings import CONFIG_NAMES, Region, load

ROOT = Path(__file__).resolve().parents[2]
URL = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379"}
DICTS = [name for region, name in CONFIG_NAMES.items() if region is not Region.CHART_DATA]


class S3Cache(BaseCache):
    """A results backend as Superset's documentation names it."""


class OwnRedis(RedisCache):
    """A class of one's own over a known one."""


def thumbnails(app: Any) -> Any:
    """A callable, which older releases of Superset took."""


def made(own: dict[str, Any], **settings: str) -> dict[str, Any]:
    """The names that a config has in the end."""
    return {**own, **names(load({**URL, **{f"SUPERSET_EXT_{k}": v for k, v in settings.items()}}), own)}


@pytest.mark.parametrize("name", DICTS)
@pytest.mark.parametrize("kind", [
    "MemcachedCache", "mine.caches.Own", "SupersetMetastoreCache", "flask_caching.backends.SASLMemcachedCache",
    "flask_caching.contrib.uwsgicache.UWSGICache",
])  # fmt: skip
def test_a_foreign_cache_stays(name: str, kind: str) -> None:
    """Intent: a cache that is not Redis, files or memory is somebody's decision."""
    own = {name: {"CACHE_TYPE": kind, "CACHE_DEFAULT_TIMEOUT": 7, "MINE": 1}}
    assert made(own)[name] == own[name]
    assert not notes(made(own))


@pytest.mark.parametrize("name", CONFIG_NAMES.values())
@pytest.mark.parametrize("kind", [
    "RedisCache", "redis", "flask_caching.backends.rediscache.RedisCache", "flask_caching.backends.RedisCache",
    "RedisSentinelCache", "RedisClusterCache", "SimpleCache", "simple", "FileSystemCache", "NullCache", "null",
])  # fmt: skip
def test_a_cache_in_redis_files_or_memory_becomes_a_region_and_that_is_said(name: str, kind: str) -> None:
    """Intent: what is replaced is named in one line with the variable that keeps it; nothing of its URL is."""
    own = {name: {"CACHE_TYPE": kind, "CACHE_REDIS_URL": "redis://:hunter2@h/1"}}
    config = made(own)
    assert "SUPERSET_EXT_REGION" in config[name]
    (line,) = notes(config)
    region = next(region for region, config_name in CONFIG_NAMES.items() if config_name == name)
    assert f"{name} ({kind}; SUPERSET_EXT_{region.upper()}_BACKEND=own keeps it)" in line
    assert "hunter2" not in line
    assert made(own, **{f"{region.upper()}_BACKEND": "own"})[name] == own[name]


def test_the_cache_of_charts_is_a_region_unless_it_is_asked_to_be_ones_own() -> None:
    """Intent: freshness is the package's business, so that a foreign cache there is replaced, and that is said."""
    own = {"DATA_CACHE_CONFIG": {"CACHE_TYPE": "MemcachedCache"}}
    assert made(own)["DATA_CACHE_CONFIG"]["SUPERSET_EXT_REGION"] == "chart_data"
    assert "DATA_CACHE_CONFIG (MemcachedCache; SUPERSET_EXT_CHART_DATA_BACKEND=own keeps it)" in notes(made(own))[0]
    assert made(own, CHART_DATA_BACKEND="own")["DATA_CACHE_CONFIG"] == own["DATA_CACHE_CONFIG"]


@pytest.mark.parametrize("own", [S3Cache(), OwnRedis()], ids=lambda own: type(own).__name__)
def test_a_foreign_results_backend_stays(own: Any) -> None:
    """Intent: SQL Lab's results in S3 stay in S3."""
    assert made({"RESULTS_BACKEND": own})["RESULTS_BACKEND"] is own
    assert isinstance(made({"RESULTS_BACKEND": own}, QUERY_RESULTS_BACKEND="redis")["RESULTS_BACKEND"], RegionCache)


def test_results_in_redis_files_or_memory_become_a_region(tmp_path: Path) -> None:
    """Intent: as for the other caches, and None is what Superset has by default."""
    for own in (RedisCache(), FileSystemCache(str(tmp_path)), SimpleCache(), NullCache()):
        config = made({"RESULTS_BACKEND": own})
        assert isinstance(config["RESULTS_BACKEND"], RegionCache)
        assert f"RESULTS_BACKEND ({type(own).__name__}; " in notes(config)[0]
    assert not notes(made({"RESULTS_BACKEND": None}))


def test_a_callable_is_replaced_and_named() -> None:
    """Intent: Superset 6.1 takes no function there; a config that has one is told what became of it."""
    config = made({"THUMBNAIL_CACHE_CONFIG": thumbnails})
    assert config["THUMBNAIL_CACHE_CONFIG"]["SUPERSET_EXT_REGION"] == "thumbnails"
    assert "THUMBNAIL_CACHE_CONFIG (the function thumbnails, which Superset 6.1 does not take" in notes(config)[0]


def test_a_timeout_of_the_config_stays_unless_ours_is_set() -> None:
    """Intent: a day stays a day."""
    own = {"DATA_CACHE_CONFIG": {"CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 86_400}}
    assert made(own)["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"] == 86_400
    assert made(own, CHART_DATA_TIMEOUT="60")["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"] == 60
    assert made({})["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"] == 900


def test_the_timeout_for_all_caches_is_that_of_those_that_name_none() -> None:
    """Intent: CACHE_DEFAULT_TIMEOUT counts where it does in stock Superset."""
    config = made({"CACHE_DEFAULT_TIMEOUT": 77, "FILTER_STATE_CACHE_CONFIG": {"CACHE_TYPE": "RedisCache"}})
    seconds = {name: config[name]["CACHE_DEFAULT_TIMEOUT"] for name in CONFIG_NAMES.values()}
    assert seconds == {
        "CACHE_CONFIG": 77, "DATA_CACHE_CONFIG": 77, "FILTER_STATE_CACHE_CONFIG": 77,
        "EXPLORE_FORM_DATA_CACHE_CONFIG": 604_800, "THUMBNAIL_CACHE_CONFIG": 604_800,
    }  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of this process, as if it began now, and as before afterwards."""
    for name in [name for name in os.environ if name.startswith("SUPERSET_EXT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SUPERSET_EXT_REDIS_URL", "redis://cache:6379")
    process.read_again()
    yield
    monkeypatch.undo()
    process.read_again()


class App:
    """As much of an app as a region takes."""

    config = {"SECRET_KEY": "x" * 40}  # noqa: RUF012


@pytest.mark.usefixtures("environment")
def test_a_timeout_and_a_prefix_that_were_changed_below_our_line_hold() -> None:
    """Intent: whoever changes our dict has meant it; every reader of the settings sees the same."""
    config = {**made({})["THUMBNAIL_CACHE_CONFIG"], "CACHE_DEFAULT_TIMEOUT": 86_399.5, "CACHE_KEY_PREFIX": "mine_"}
    cache = RegionCache.factory(App, config, [], {})
    assert cache.default_timeout == 86_400
    assert (process.current().thumbnails.timeout, process.current().thumbnails.prefix) == (86_400, "mine_")
    assert cache._store.name("k") == "mine_k"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"CACHE_KEY_PREFIX": "superset_", "SUPERSET_EXT_REGION": "chart_data"}, None),  # another database
        ({"CACHE_DEFAULT_TIMEOUT": "a day"}, "DATA_CACHE_CONFIG: "),
        ({"CACHE_KEY_PREFIX": ""}, "DATA_CACHE_CONFIG: "),
        ({"CACHE_KEY_PREFIX": lambda: "x"}, "DATA_CACHE_CONFIG: "),
    ],
)
def test_a_change_below_our_line_that_cannot_hold_is_refused_in_one_line(
    change: dict[str, Any], text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Intent: never ignored without a word."""
    config = {**made({})["DATA_CACHE_CONFIG"], **change}
    if text is None:
        RegionCache.factory(App, config, [], {})
        return
    with pytest.raises(SystemExit):
        RegionCache.factory(App, config, [], {})
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("environment")
def test_superset_s_sign_for_not_cached_stays() -> None:
    """Intent: a timeout of -1 switches a cache off, which is Superset's to pass."""
    own = {"DATA_CACHE_CONFIG": {"CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": -1}}
    config = made(own)["DATA_CACHE_CONFIG"]
    assert config["CACHE_DEFAULT_TIMEOUT"] == -1
    assert RegionCache.factory(App, config, [], {}).default_timeout == 900


def test_what_nobody_reads_in_our_dicts_is_said() -> None:
    """Intent: a server that is set in the wrong place does not look as if it were used."""
    config = made({})
    config["DATA_CACHE_CONFIG"]["CACHE_REDIS_URL"] = "redis://:hunter2@other/0"
    (line,) = notes(config)
    assert line == "CACHE_REDIS_URL of DATA_CACHE_CONFIG is not read; use SUPERSET_EXT_CHART_DATA_… instead"


BASE = """
from celery.schedules import crontab
FEATURE_FLAGS = {"BASE": True, "BOTH": False}
class CeleryConfig:
    broker_url = "redis://base/1"
    imports = ("superset.sql_lab", "base.tasks")
CELERY_CONFIG = CeleryConfig
def FLASK_APP_MUTATOR(app): app.append("base")
DATA_CACHE_CONFIG = {"CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 111}
FILTER_STATE_CACHE_CONFIG = {"CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 222}
from superset_ext.config import *
"""
PRODUCTION = """
import os
from base_config import *
FEATURE_FLAGS = {"PRODUCTION": True, "BOTH": True}
class CeleryConfig:
    broker_url = "redis://production/2"
    imports = ("superset.sql_lab", "production.tasks")
CELERY_CONFIG = CeleryConfig
_before = FLASK_APP_MUTATOR
def FLASK_APP_MUTATOR(app):
    _before(app)
    app.append("production")
DATA_CACHE_CONFIG = {"CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 333}
THUMBNAIL_CACHE_CONFIG["CACHE_KEY_PREFIX"] = "production_"  # in the dict that the line of the base has made
os.environ["SUPERSET_EXT_GRACE_SECONDS"] = "7"
from superset_ext.config import *
"""
SHOW = """
import superset.config as c
from superset_ext import install, settings
install.install = lambda app: app.append("ours")
ran = []
c.FLASK_APP_MUTATOR(ran)
flags = {name: c.FEATURE_FLAGS.get(name) for name in ("BASE", "PRODUCTION", "BOTH")}
seconds = [c.DATA_CACHE_CONFIG["CACHE_DEFAULT_TIMEOUT"], c.FILTER_STATE_CACHE_CONFIG["CACHE_DEFAULT_TIMEOUT"]]
print(ran, flags, c.CELERY_CONFIG.broker_url, c.CELERY_CONFIG.imports[:2], len(c.CELERY_CONFIG.imports), seconds,
      settings.current().grace_seconds, sorted(c.SUPERSET_EXT_REPLACED), c.THUMBNAIL_CACHE_CONFIG["CACHE_KEY_PREFIX"])
"""


def test_a_config_over_another_one_that_both_end_with_our_line_decides(tmp_path: Path) -> None:
    """Intent: the names are made from the config whose line runs last, as it stands by then."""
    (tmp_path / "base_config.py").write_text(BASE)
    (tmp_path / "production.py").write_text(PRODUCTION)
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "SUPERSET_EXT_REDIS_URL": "redis://cache:6379",
        "SUPERSET_CONFIG_PATH": str(tmp_path / "production.py"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().splitlines()[-1:] == [
        "['base', 'ours', 'production', 'ours'] {'BASE': None, 'PRODUCTION': True, 'BOTH': True} redis://production/2 "
        "('superset.sql_lab', 'production.tasks') 8 [333, 222] 7.0 "
        "['DATA_CACHE_CONFIG', 'FILTER_STATE_CACHE_CONFIG'] production_"
    ], done.stdout + done.stderr
