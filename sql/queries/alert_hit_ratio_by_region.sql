-- The share of requests that were hits, by region, in the window. What is asked for the first time has to miss.
SELECT cache_type, cache_type,
    sum(cache_hits) / nullif(sum(cache_hits + cache_misses - miss_cold), 0), sum(cache_misses - miss_cold)
FROM superset_ext.cache_performance_log
WHERE created_at > %(now)s::timestamptz - %(window)s::interval
    AND created_at <= %(now)s::timestamptz AND channel IS DISTINCT FROM 'warm'
GROUP BY cache_type;
