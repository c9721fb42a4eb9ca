"""What is set for a region: timeout and prefix as Superset's config has them, its keys, and its store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from superset_ext.cache.entries import Policy
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.names import Names
from superset_ext.cache.redis.connect import Budget, connect
from superset_ext.cache.store import Store
from superset_ext.errors import SettingsError
from superset_ext.settings import Region, override, stop

_RESULT_SECONDS = 30.0  # a SQL Lab result that is not stored fails the user's query, and may have 100 MB


def heed(region: Region, config: Mapping[str, Any]) -> None:
    """Take a region's timeout and prefix from its dict, which a config may have changed since we made it.

    Raises:
        SystemExit: one of them cannot be so; one line says which.
    """
    values = {"timeout": config.get("CACHE_DEFAULT_TIMEOUT"), "prefix": config.get("CACHE_KEY_PREFIX")}
    timeout = values["timeout"]
    if isinstance(timeout, int | float):  # below 0 it is Superset's sign for «not cached», which it passes itself
        values["timeout"] = None if timeout < 0 else math.ceil(timeout)
    try:
        override(region, **{name: value for name, value in values.items() if value is not None})
    except SettingsError as error:
        stop(error)


def ring_of(config: Mapping[str, Any]) -> KeyRing:
    """The keys that an app signs with now, and that it has signed with before."""
    previous = config.get("PREVIOUS_SECRET_KEY")
    return KeyRing(config["SECRET_KEY"], [previous] if previous else [])


def store_of(policy: Policy, region: Region, stamped: bool) -> Store:
    """The entries of a region in the Redis that the settings name.

    Args:
        stamped: whether a change of data invalidates entries.

    Raises:
        SettingsError: the region has no Redis, or its URL is malformed.
    """
    settings, own, budget = policy.settings, policy.own, _budget(policy)
    topology = connect(settings.region_url(region), own.pool_size, budget)
    names = Names.of(own.prefix, topology.clustered, stamped)
    return Store(topology, names, settings.key_memory, budget.total)


def _budget(policy: Policy) -> Budget:
    """How long Redis may take."""
    settings, total = policy.settings, policy.settings.total_timeout_ms / 1000
    return Budget(
        connect=settings.connect_timeout_ms / 1000,
        silence=settings.read_timeout_ms / 1000 if policy.capped else total,
        total=total if policy.capped else max(total, _RESULT_SECONDS),
        retry=policy.own.retry_on_timeout,
        failures=settings.circuit_failures,
        reset=settings.circuit_reset_seconds,
    )
