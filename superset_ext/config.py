"""The names that Superset reads, made from the settings: end your own config with
`from superset_ext.config import *`.

That line goes last, because it looks at the names above it: your `FLASK_APP_MUTATOR` runs before
ours, and your `CELERY_CONFIG` and `FEATURE_FLAGS` are kept and added to. Nothing here imports
Superset, which imports this module from inside `superset.config`. Without
`SUPERSET_EXT_REDIS_URL` the import brings nothing, and Superset runs as stock.

The names are made anew for each config that has the line, for a config may star-import another one that has it too:
this module has no `__all__`, so that Python asks `__getattr__` for it at each star import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from superset_ext import settings as _settings
from superset_ext.configuration.caches import REPLACED, own_caches, replaced
from superset_ext.configuration.celery import celery_config
from superset_ext.configuration.importer import HOST, importer, stock
from superset_ext.configuration.metadata import MetadataAway, reach
from superset_ext.core import quiet
from superset_ext.errors import SettingsError
from superset_ext.settings import Settings

# Two users of an impersonating database would share one entry. No flag that changes what people may do stands here.
FLAGS = {"CACHE_IMPERSONATION": True}
quiet.begin()
_names: dict[str, Any] = {}  # of the star import that is under way


def names(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """All that the star import brings into the config `own`."""
    if settings.redis_url is None:
        return {}
    config = own_caches(settings, own)
    config["FLASK_APP_MUTATOR"] = mutator(own.get("FLASK_APP_MUTATOR"))
    config["CELERY_CONFIG"] = celery_config(settings, own.get("CELERY_CONFIG", stock("CELERY_CONFIG")))
    config["FEATURE_FLAGS"] = {**_flags(os.environ), **own.get("FEATURE_FLAGS", {})}
    if settings.database_url and "SQLALCHEMY_DATABASE_URI" not in own:
        config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    config[REPLACED] = replaced(settings, own)
    return config


def _flags(environ: Mapping[str, str]) -> dict[str, bool]:
    """Our defaults, without those that the environment sets: Superset would have these over its own."""
    return {name: value for name, value in FLAGS.items() if f"SUPERSET_FEATURE_{name}" not in environ}


def mutator(own: Callable[[Any], None] | None) -> Callable[[Any], None]:
    """A `FLASK_APP_MUTATOR` that runs `own` first, then installs the package, which it does once for an app."""

    def install(app: Any) -> None:
        if own is not None:
            own(app)
        from superset_ext import install as package

        package.install(app)

    return install


def __getattr__(name: str) -> Any:
    if name == "__all__":
        try:
            own = importer()
            made = names(_settings.read_again(), own)
            if quiet.is_on() and HOST in sys.modules:
                reach(own, made)
        except SettingsError as error:
            _settings.stop(error)
        except MetadataAway as error:
            sys.exit(f"Error: {error}")
        _names.clear()
        _names.update(made)
        return list(made)
    try:
        return _names[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
