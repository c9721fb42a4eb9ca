"""What a config says that does not hold, one line each: for the start and for the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from superset_ext.configuration.caches import CONFIGS, REPLACED, how_to_keep, is_ours
from superset_ext.settings import PREFIX

_HEEDED = frozenset({"CACHE_TYPE", "CACHE_DEFAULT_TIMEOUT", "CACHE_KEY_PREFIX", "SUPERSET_EXT_REGION"})


def notes(config: Mapping[str, Any]) -> list[str]:
    """What was replaced, and how to keep it; what is in our dicts and is read by nobody."""
    return [*_replaced(config.get(REPLACED) or {}), *_unheeded(config)]


def _replaced(names: Mapping[str, str]) -> Iterator[str]:
    if names:
        was = ", ".join(f"{name} ({kind}; {how_to_keep(name)} keeps it)" for name, kind in sorted(names.items()))
        yield f"replaced by the package's caches: {was}"


def _unheeded(config: Mapping[str, Any]) -> Iterator[str]:
    for region, name in CONFIGS.items():
        own = config.get(name)
        extra = sorted(set(own) - _HEEDED) if isinstance(own, Mapping) and is_ours(own, region) else []
        if extra:
            yield f"{', '.join(extra)} of {name} is not read; use {PREFIX}{region.upper()}_… instead"
