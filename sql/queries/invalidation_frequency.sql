-- How often each source reported a change, by hour of the last day, and what share of the requests for charts
-- found their answer dropped by that.
SELECT
    told.hour, told.source, told.changes, told.entries_affected,
    asked.requests, asked.invalidated, asked.invalidated::double precision / NULLIF(asked.requests, 0) AS share
FROM (
    SELECT
        date_trunc('hour', created_at) AS hour, source, count(*) AS changes, sum(entries_affected) AS entries_affected
    FROM superset_ext.cache_invalidation_log
    WHERE created_at >= date_trunc('hour', now()) - interval '1 day' AND NOT precaution
    GROUP BY 1, 2
) AS told
LEFT JOIN (
    SELECT
        date_trunc('hour', created_at) AS hour, sum(cache_hits + cache_misses) AS requests,
        sum(miss_invalidated) AS invalidated
    FROM superset_ext.cache_performance_log
    WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
        AND created_at >= date_trunc('hour', now()) - interval '1 day'
    GROUP BY 1
) AS asked USING (hour)
ORDER BY told.hour DESC, told.changes DESC;
