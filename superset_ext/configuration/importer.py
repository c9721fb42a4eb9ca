"""The config that star-imports `superset_ext.config`: the names that stand above its line."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from types import FrameType
from typing import Any

OURS = "superset_ext.config"
HOST = "superset.config"


def importer() -> Mapping[str, Any]:
    """The names of the config that star-imports, and of the configs that import that one in turn.

    A config named by `SUPERSET_CONFIG_PATH` is never in `sys.modules`, so only the stack leads to it.
    """
    configs: list[MutableMapping[str, Any]] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != HOST:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") != OURS:
            configs.append(frame.f_globals)
        frame = frame.f_back
    return ChainMap(*configs)


def stock(name: str) -> Any:
    """Superset's own value of a name, which stands in its config module above the line that imports ours."""
    return getattr(sys.modules.get(HOST), name, None)
