"""An app without Superset, for commands that only look at Redis and the log: it starts in a second, Superset in nine.

It reads the config that Superset reads, and takes from it what the package needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any

from flask import Flask

from superset_ext.core.log_database import log_of
from superset_ext.errors import NotSwitchedOn
from superset_ext.package import EXTENSION, Package
from superset_ext.settings import CONFIG_NAMES, PREFIX, Region, Settings, current

COMMANDS = frozenset({"alerts", "recommend", "status"})
TRY = ["alerts", "try"]  # which sends as Superset's config says, most of which is Superset's own
_URI = "SQLALCHEMY_DATABASE_URI"


def needs_no_superset(words: list[str]) -> bool:
    """Whether a command line is one of those that do without Superset; `warm` is, where it only shows schedules, and
    `recommend` where it asks no source."""
    own = [word for word in words if word not in ("--json", "--verbose")]
    if not own or "--help" in own or "--look" in own or own[:2] == TRY:
        return False
    return own[0] in COMMANDS or own == ["warm"]


def bare_app() -> Flask | None:
    """The app; `None` where the config names no metadata database, so that only Superset knows which it is.

    Raises:
        NotSwitchedOn: no Redis is set.
    """
    from superset_ext.host.regions import HELD

    names = _config()
    settings = current()
    if settings.redis_url is None:
        raise NotSwitchedOn(f"the package is not switched on; set {PREFIX}REDIS_URL")
    if uri := os.environ.get(f"SUPERSET__{_URI}"):  # which Superset puts over what its config says
        names[_URI] = uri
    if not names.get(_URI):
        return None
    app = Flask("superset_ext")
    app.config.update(names)
    app.extensions[EXTENSION] = Package(settings, log_of(settings, names), None, ())
    app.extensions[HELD] = _regions(settings, names)
    return app


def _config() -> dict[str, Any]:
    """The upper-case names of the config that Superset would load."""
    path = os.environ.get("SUPERSET_CONFIG_PATH")
    spec = spec_from_file_location("superset_config", path) if path else find_spec("superset_config")
    if spec is None or spec.loader is None:
        raise NotSwitchedOn("no superset_config was found; set SUPERSET_CONFIG_PATH, or put its folder on PYTHONPATH")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.isupper()}


def _regions(settings: Settings, names: Mapping[str, Any]) -> dict[str, Any]:
    from superset_ext.cache.chart import ChartCache
    from superset_ext.cache.region import RegionCache

    made = {
        str(region): (ChartCache if region is Region.CHART_DATA else RegionCache)(region, settings)
        for region, name in CONFIG_NAMES.items()
        if isinstance(names.get(name), Mapping) and "SUPERSET_EXT_REGION" in names[name]
    }
    results = names.get("RESULTS_BACKEND")
    return made | ({str(Region.QUERY_RESULTS): results} if isinstance(results, RegionCache) else {})
