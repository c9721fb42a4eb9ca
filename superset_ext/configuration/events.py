"""Which event logger a config gets: the package's, where nobody has chosen one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from superset_ext.configuration.importer import HOST, stock
from superset_ext.settings import Settings

NAME = "EVENT_LOGGER"


def event_logger(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """The name and its value, for a config that names none, in a Superset whose own is the one that we know."""
    if NAME in own or not settings.event_log_seconds or HOST not in sys.modules:
        return {}
    from superset_ext.host.event_logger import BatchedEventLogger, is_known

    return {NAME: BatchedEventLogger(settings.event_log_seconds)} if is_known(stock(NAME)) else {}
