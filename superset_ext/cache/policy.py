"""What each region stores, and for how long: the few points in which the six differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from superset_ext.cache.redis.connect import Budget
from superset_ext.events import Stored
from superset_ext.settings import Region, Settings

# A SQL Lab result that is not stored fails the user's query, and may be a hundred megabytes.
_RESULT_SECONDS = 30.0


@dataclass(frozen=True)
class Policy:
    """The rules of one region."""

    region: Region
    settings: Settings

    @property
    def stamped(self) -> bool:
        """Whether changed data invalidates its entries: those that hold what a chart shows."""
        return self.region is Region.CHART_DATA

    @property
    def capped(self) -> bool:
        """Whether size, rows and the server's memory limit what is stored."""
        return self.region is not Region.QUERY_RESULTS

    def ttl_ms(self, timeout: float | None) -> int | None:
        """Milliseconds that an entry lives, 0 for ever, `None` for not at all.

        Args:
            timeout: seconds, as Superset passes them. `None` is the region's own timeout, 0 is for
                ever, as in Flask-Caching, and -1 is Superset's `CACHE_DISABLED_TIMEOUT`: do not
                cache. (cachelib's Redis backend takes -1 for «for ever», by accident.)

        Two regions differ. metadata's own timeout is a cap, since Superset passes a day for whatever
        it memoizes there. In query_results -1 is the region's own timeout: the database is not to be
        cached, but its answer has to reach the browser.
        """
        own = self.settings.region(self.region).timeout
        if timeout is not None and timeout < 0:
            if self.capped:
                return None
            timeout = None
        seconds = own if timeout is None else timeout
        if self.region is Region.METADATA and own:
            seconds = min(seconds or own, own)
        return int(seconds * 1000)

    def refuses(self, value: Any) -> Stored | None:
        """Why a value is not stored, whatever its size.

        A response may have been built for one user, and Superset's `etag_cache` would give it to
        another: it checks rights inside what it caches.
        """
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, Response) for part in parts):
            return Stored.REFUSED
        frame = value.get("df") if isinstance(value, dict) else None
        if self.capped and frame is not None and len(frame) > self.settings.max_result_rows:
            return Stored.TOO_LARGE
        return None

    def too_large(self, data: bytes) -> bool:
        """Whether an entry is above the cap."""
        return self.capped and len(data) > self.settings.max_entry_bytes

    def budget(self) -> Budget:
        """How long Redis may take."""
        settings = self.settings
        total = settings.total_timeout_ms / 1000
        return Budget(
            connect=settings.connect_timeout_ms / 1000,
            silence=settings.read_timeout_ms / 1000 if self.capped else total,
            total=total if self.capped else max(total, _RESULT_SECONDS),
            retry=settings.region(self.region).retry_on_timeout,
            failures=settings.circuit_failures,
            reset=settings.circuit_reset_seconds,
        )
