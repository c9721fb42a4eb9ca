"""Prometheus metrics, read from the log database at each scrape, so that any process answers for all.

Counters are the sums of the log that `totals` returns, as of the last roll-up; gauges are the last samples. The
rules and the scrape configuration beside this project's dashboards are in `docker/prometheus`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.events import Miss

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX = "superset_ext"
_CACHE = "SELECT subject, measure, total FROM superset_ext.totals('cache')"
_QUERY = """
SELECT coalesce(name, '#' || subject) AS subject, measure, total FROM superset_ext.totals('query')
LEFT JOIN superset_ext.object_name ON kind = 'database' AND id::text = subject
"""
_SAMPLE = """
SELECT DISTINCT ON (region) region, server, shared, server_memory, memory_estimated, maxmemory, entries, connections,
    fragmentation, hit_p50 / 1000 AS p50, hit_p95 / 1000 AS p95, hit_p99 / 1000 AS p99
FROM superset_ext.cache_sample WHERE at > now() - interval '5 minutes' ORDER BY region, at DESC
"""
_VIEWS = """
SELECT view, extract(epoch FROM now() - refreshed_at)::float8 AS age, (error IS NOT NULL)::int AS failed
FROM superset_ext.view_refresh
"""
_ALERTS = """
SELECT rule.name, rule.severity, alert.subject, count(*) AS n
FROM superset_ext.performance_alert AS alert JOIN superset_ext.performance_alert_rule AS rule ON rule.id = alert.rule_id
WHERE alert.resolved_at IS NULL GROUP BY 1, 2, 3
"""
_REWRITES = """
SELECT dataset_id::text AS dataset, unnest(ARRAY['answered', 'compared', 'different', 'failed']) AS outcome,
    unnest(ARRAY[sum(uses), sum(runs), sum(differences), sum(failures)]) AS total
FROM superset_ext.rewrite_use GROUP BY dataset_id
"""
_AGGREGATES = """
SELECT database_id::text AS database, split_part(rules[1], '.', 1) AS aggregate,
    unnest(ARRAY['answered', 'compared', 'different', 'failed']) AS outcome,
    unnest(ARRAY[sum(uses), sum(runs), sum(differences), sum(failures)]) AS total
FROM superset_ext.aggregate_use GROUP BY 1, 2
"""
_COUNTERS = {
    "hits": ("hits", "Reads answered from the cache."),
    "stale_hits": ("stale_hits", "Of the hits: given within the grace, while somebody refreshed them."),
    "coalesced": ("coalesced_hits", "Of the hits: waited for another caller's query."),
    "errors": ("errors", "Reads and writes that failed."),
    "bytes_read": ("read_bytes", "Stored bytes read."),
    "bytes_written": ("written_bytes", "Stored bytes written."),
    "saved_ms": ("saved_seconds", "Database seconds that the answers of the hits had cost."),
}
_QUERIES = {
    "runs": ("queries", "Queries sent to a source database."),
    "errors": ("query_errors", "Of them: failed."),
    "slow": ("slow_queries", "Of them: as slow as SUPERSET_EXT_SLOW_QUERY_MS or slower."),
    "duration_ms_sum": ("query_seconds", "Seconds that they took."),
}
_GAUGES = {
    "server_memory": ("server_memory_bytes", "Bytes that the region's server uses."),
    "maxmemory": ("server_memory_limit_bytes", "Its limit."),
    "memory_estimated": ("memory_bytes", "The region's own bytes; estimated where it shares its server."),
    "entries": ("entries", "Keys with a timeout."),
    "connections": ("connections", "Connections to the region's server."),
    "fragmentation": ("fragmentation_ratio", "Resident over used memory of the region's server."),
}
LABELS = ["cache", "quantile"]
Row = dict[str, Any]


class LogCollector:
    """A collector of prometheus_client.

    Args:
        database: the log database.
    """

    def __init__(self, database: LogDatabase) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """All metrics.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`.
        """
        totals = self._database.rows(_CACHE)
        yield from _totals(totals, "cache", _COUNTERS)
        yield _misses(totals)
        yield from _totals(self._database.rows(_QUERY), "database", _QUERIES)
        yield _rewrites(self._database.rows(_REWRITES))
        yield _aggregates(self._database.rows(_AGGREGATES))
        yield from _samples(self._database.rows(_SAMPLE))
        yield from _views(self._database.rows(_VIEWS))
        yield _alerts(self._database.rows(_ALERTS))

    def describe(self) -> Iterator[Metric]:
        """Nothing: to be registered must not take a query."""
        return iter(())


def _totals(rows: list[Row], label: str, names: dict[str, tuple[str, str]]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    for measure, (name, text) in names.items():
        family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
        unit = 1000 if name.endswith("_seconds") else 1  # the log has milliseconds
        for row in rows:
            if row["measure"] == measure:
                family.add_metric([row["subject"]], float(row["total"]) / unit)
        yield family


def _misses(rows: list[Row]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"{PREFIX}_misses", "Reads that the cache did not answer.", labels=["cache", "reason"])
    reasons = {f"miss_{reason}": str(reason) for reason in Miss}
    for row in rows:
        if row["measure"] in reasons:
            family.add_metric([row["subject"], reasons[row["measure"]]], float(row["total"]))
    return family


def _samples(rows: list[Row]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for column, (name, text) in _GAUGES.items():
        family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["cache", "server"])
        for row in rows:
            if row[column] is not None:
                family.add_metric([row["region"], row["server"]], float(row[column]))
        yield family
    times = GaugeMetricFamily(
        f"{PREFIX}_hit_seconds", "Time of a hit, of the last minute.", labels=["cache", "quantile"]
    )
    for row in rows:
        for quantile in ("50", "95", "99"):
            if row[f"p{quantile}"] is not None:
                times.add_metric([row["region"], f"0.{quantile}"], float(row[f"p{quantile}"]))
    yield times


def _rewrites(rows: list[Row]) -> Metric:
    """A gauge: a statement that is not asked any more is forgotten in the end, and with it what it counted."""
    from prometheus_client.core import GaugeMetricFamily

    text = "Charts that another text of their statement has answered, and what came of comparing both."
    family = GaugeMetricFamily(f"{PREFIX}_rewrites", text, labels=["dataset", "outcome"])
    for row in rows:
        family.add_metric([row["dataset"], row["outcome"]], float(row["total"]))
    return family


def _aggregates(rows: list[Row]) -> Metric:
    """A gauge, likewise."""
    from prometheus_client.core import GaugeMetricFamily

    text = "Charts that aggregates have answered, and what came of comparing them with Superset's own statement."
    family = GaugeMetricFamily(f"{PREFIX}_aggregates", text, labels=["database", "aggregate", "outcome"])
    for row in rows:
        family.add_metric([row["database"], row["aggregate"], row["outcome"]], float(row["total"]))
    return family


def _views(rows: list[Row]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    age = GaugeMetricFamily(f"{PREFIX}_view_age_seconds", "Since a view was refreshed.", labels=["view"])
    failed = GaugeMetricFamily(f"{PREFIX}_view_failed", "1 where its last refresh failed.", labels=["view"])
    for row in rows:
        if row["age"] is not None:
            age.add_metric([row["view"]], float(row["age"]))
        failed.add_metric([row["view"]], float(row["failed"]))
    yield age
    yield failed


def _alerts(rows: list[Row]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"{PREFIX}_alert", "1 for an alert that lasts.", labels=["name", "severity", "subject"])
    for row in rows:
        family.add_metric([row["name"], row["severity"], row["subject"]], float(row["n"]))
    return family


def exposition(database: LogDatabase) -> tuple[bytes, str]:
    """The metrics as Prometheus reads them, and their content type.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`; or prometheus_client is not installed.
    """
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    except ModuleNotFoundError:
        raise LogUnavailable("metrics need a package: pip install prometheus-client") from None
    registry = CollectorRegistry()
    registry.register(LogCollector(database))
    return generate_latest(registry), CONTENT_TYPE_LATEST
