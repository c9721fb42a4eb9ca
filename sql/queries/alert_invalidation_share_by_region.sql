-- The share of requests whose answers changes had dropped, by region, in the window.
SELECT cache_type, cache_type, sum(miss_invalidated) / nullif(sum(cache_hits + cache_misses), 0), sum(miss_invalidated)
FROM superset_ext.cache_performance_log
WHERE created_at > %(now)s::timestamptz - %(window)s::interval
    AND created_at <= %(now)s::timestamptz AND channel IS DISTINCT FROM 'warm'
GROUP BY cache_type;
