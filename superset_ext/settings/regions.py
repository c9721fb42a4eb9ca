"""The six cache regions, and the settings that each of them has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from superset_ext.compat import StrEnum
from superset_ext.settings.redis_urls import RedisUrl
from superset_ext.settings.values import Record

DAY = 86_400


class Region(StrEnum):
    """The six cache regions, by the name that the log and the settings use."""

    METADATA = "metadata"
    QUERY_RESULTS = "query_results"
    CHART_DATA = "chart_data"
    FILTER_STATE = "filter_state"
    EXPLORE_FORM_DATA = "explore_form_data"
    THUMBNAILS = "thumbnails"


# The names of their configs in Superset; query_results is its RESULTS_BACKEND, which is an object.
CONFIG_NAMES: Mapping[Region, str] = {
    Region.METADATA: "CACHE_CONFIG",
    Region.CHART_DATA: "DATA_CACHE_CONFIG",
    Region.FILTER_STATE: "FILTER_STATE_CACHE_CONFIG",
    Region.EXPLORE_FORM_DATA: "EXPLORE_FORM_DATA_CACHE_CONFIG",
    Region.THUMBNAILS: "THUMBNAIL_CACHE_CONFIG",
}

Compression = Literal["zstd", "lz4", "none"]


class RegionSettings(Record):
    """The settings of one region."""

    backend: Literal["auto", "redis", "metastore", "own"] = Field(
        "auto",
        description="Where entries lie: `redis`; `own` for the cache that your config names; `auto` for yours where "
        "that is no Redis, files or memory, and Redis otherwise (chart_data: always Redis); `metastore` for Superset's "
        "own cache (filter_state and explore_form_data only).",
    )
    url: RedisUrl | None = Field(
        None,
        repr=False,
        description="Redis of this region; where not set, `SUPERSET_EXT_REDIS_URL`.",
    )
    db: int = Field(
        0,
        ge=0,
        le=1023,
        description="Number of the Redis database, where `SUPERSET_EXT_REDIS_URL` names none (a cluster has only 0).",
    )
    prefix: str = Field("", min_length=1, max_length=64, description="Text with which each key of the region begins.")
    timeout: int = Field(
        300, ge=0, description="Seconds that an entry lives where Superset names no timeout; 0 for no end."
    )
    pool_size: int = Field(10, ge=1, le=10_000, description="Connections to this region that a process keeps at most.")
    retry_on_timeout: bool = Field(
        True, description="Whether a read that timed out is sent once more, within `SUPERSET_EXT_TOTAL_TIMEOUT_MS`."
    )
    compression: Compression = Field("zstd", description="How entries are compressed: `zstd`, `lz4` or `none`.")
    compression_min_size: int = Field(1024, ge=0, description="Bytes below which an entry is not compressed.")
    compression_level: int = Field(1, ge=1, le=19, description="Level of zstd, from 1 to 19; lz4 has none.")


REGION_DEFAULTS: Mapping[Region, Mapping[str, Any]] = {
    Region.METADATA: {"db": 1, "prefix": "superset_", "timeout": 300, "pool_size": 50},
    Region.QUERY_RESULTS: {"db": 2, "prefix": "query_", "timeout": 600, "pool_size": 20, "compression": "none"},
    Region.CHART_DATA: {"db": 3, "prefix": "chart_", "timeout": 900, "pool_size": 30},
    Region.FILTER_STATE: {"db": 4, "prefix": "filter_", "timeout": 90 * DAY, "pool_size": 10},
    Region.EXPLORE_FORM_DATA: {"db": 5, "prefix": "explore_", "timeout": 7 * DAY, "pool_size": 10},
    Region.THUMBNAILS: {"db": 6, "prefix": "thumb_", "timeout": 7 * DAY, "pool_size": 5},
}
