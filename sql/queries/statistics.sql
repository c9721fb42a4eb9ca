-- What each region did in the last day, warming left out; times in milliseconds, within 5 %. `miss_reasons` has a count
-- for each miss_ column of the log.
SELECT
    cache_type, hits, misses, hits::float8 / NULLIF(hits + misses, 0) AS hit_ratio, stale_hits, coalesced,
    (SELECT jsonb_object_agg('miss_' || reason, count) FROM superset_ext.miss_reasons(counted) AS miss (reason, count))
        AS miss_reasons,
    errors, bytes_read, bytes_written, saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_quantile(hit_histogram, 0.5) AS hit_p50_ms,
    superset_ext.histogram_quantile(hit_histogram, 0.95) AS hit_p95_ms,
    superset_ext.histogram_quantile(miss_histogram, 0.95) AS miss_p95_ms
FROM superset_ext.cache_counts(now() - interval '1 day') AS counted
ORDER BY cache_type;
