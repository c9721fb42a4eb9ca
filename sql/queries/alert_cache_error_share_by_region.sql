-- The share of reads and writes that failed, by region, in the window; warming's are counted too.
SELECT cache_type, cache_type,
    sum(errors) / nullif(sum(cache_hits + cache_misses + sets + sets_too_large + sets_refused + sets_memory
        + sets_superseded + errors - miss_error), 0),
    sum(errors)
FROM superset_ext.cache_performance_log
WHERE created_at > %(now)s::timestamptz - %(window)s::interval
    AND created_at <= %(now)s::timestamptz
GROUP BY cache_type;
