"""Deletes the entries of charts and dashboards that changed, whoever stored them.

An entry is shared by all charts that ask the same, but carries the chart and the dashboard of whoever stored it. The
registry knows the keys of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from superset_ext.cache.chart import ChartCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable
from superset_ext.events import changed
from superset_ext.freshness.change import StampedChange

logger = logging.getLogger(__name__)

PENDING = 10_000  # charts and dashboards that wait for the log database; any more are dropped and counted
_KEYS = """
SELECT DISTINCT unnest(s.cache_keys) AS key
FROM superset_ext.cache_request r JOIN superset_ext.cache_access_scope s USING (fingerprint)
WHERE r.chart_id = ANY(%(charts)s) OR r.dashboard_id = ANY(%(dashboards)s)
"""


class SharedEntries:
    """The entries that the charts and dashboards of this app share.

    Args:
        database: the log database.
        region: the region of chart data.

    Attributes:
        dropped: charts and dashboards whose entries nobody will delete, because too many waited.
    """

    def __init__(self, database: LogDatabase, region: Callable[[], ChartCache]) -> None:
        self._database = database
        self._region = region
        self._charts: set[int] = set()
        self._dashboards: set[int] = set()
        self.dropped = 0

    def install(self) -> None:
        """Delete what changed from now on."""
        changed.connect(self._on_change, weak=False)

    def _on_change(self, _source: str, event: StampedChange) -> None:
        charts, dashboards = set(event.change.charts), set(event.change.dashboards)
        if not charts and not dashboards:
            return
        try:
            self._delete(charts, dashboards)
        except LogUnavailable as error:
            self._keep(charts, dashboards)
            warn("shared", "which entries the changed charts share is not known now (%s); it is tried again", error)

    def _keep(self, charts: set[int], dashboards: set[int]) -> None:
        if len(self._charts) + len(self._dashboards) + len(charts) + len(dashboards) > PENDING:
            self.dropped += len(charts) + len(dashboards)
            warn("shared dropped", "the entries of %d charts and dashboards stay until they expire", self.dropped)
            return
        self._charts |= charts
        self._dashboards |= dashboards

    def retry(self) -> None:
        """Delete what could not be deleted when it changed.

        Raises:
            LogUnavailable: the log database still does not answer.
        """
        charts, self._charts = self._charts, set()
        dashboards, self._dashboards = self._dashboards, set()
        if charts or dashboards:
            try:
                self._delete(charts, dashboards)
            except LogUnavailable:
                self._keep(charts, dashboards)
                raise

    def _delete(self, charts: set[int], dashboards: set[int]) -> None:
        values = {"charts": sorted(charts), "dashboards": sorted(dashboards)}
        keys = [row["key"] for row in self._database.rows(_KEYS, values)]
        if keys and len(self._region().delete_many(*keys)) < len(keys):
            logger.debug("superset_ext: some of %d keys had gone already", len(keys))
