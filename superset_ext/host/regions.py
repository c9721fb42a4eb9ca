"""The region caches that an app runs with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.region import RegionCache
from superset_ext.errors import NoChartRegion
from superset_ext.settings import Region

HELD = "superset_ext_regions"  # the extension of an app without Superset that holds its regions


def regions(app: Any) -> Mapping[str, RegionCache]:
    """The region caches of an app, by name; a region that Superset keeps elsewhere has none."""
    held: Mapping[str, RegionCache] | None = app.extensions.get(HELD)
    if held is not None:
        return held
    from superset.extensions import cache_manager

    holders = {
        Region.METADATA: cache_manager.cache,
        Region.CHART_DATA: cache_manager.data_cache,
        Region.FILTER_STATE: cache_manager.filter_state_cache,
        Region.EXPLORE_FORM_DATA: cache_manager.explore_form_data_cache,
        Region.THUMBNAILS: cache_manager.thumbnail_cache,
    }
    caches = {str(name): app.extensions["cache"].get(holder) for name, holder in holders.items()}
    caches[str(Region.QUERY_RESULTS)] = app.config.get("RESULTS_BACKEND")
    return {name: cache for name, cache in caches.items() if isinstance(cache, RegionCache)}


def chart_region(app: Any) -> ChartCache:
    """The region that holds chart data in an app.

    Raises:
        NoChartRegion: its config has another cache there.
    """
    from superset.extensions import cache_manager

    cache = app.extensions["cache"].get(cache_manager.data_cache)
    if not isinstance(cache, ChartCache):
        raise NoChartRegion(
            f"charts are cached by {type(cache).__name__}, not by this package, so that nothing can be dropped; "
            "take DATA_CACHE_CONFIG from superset_ext.config"
        )
    return cache
