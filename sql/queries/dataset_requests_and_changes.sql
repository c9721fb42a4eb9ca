-- The requests of a dataset on the last day, and the changes of a week that its answers were dropped by.
SELECT sum(cache_hits)::bigint AS hits, sum(stale_hits)::bigint AS stale_hits,
    sum(miss_expired)::bigint AS miss_expired, sum(miss_invalidated)::bigint AS miss_invalidated,
    round((sum(saved_ms) / NULLIF(sum(cache_hits), 0))::numeric, 1)::float8 AS ms_a_hit_saved,
    round(superset_ext.histogram_quantile(superset_ext.histogram_merge(miss_histogram), 0.95)::numeric, 1)::float8
        AS miss_p95_ms,
    (SELECT count(*) FROM superset_ext.cache_invalidation_log l
        WHERE l.operation = 'data_update' AND NOT l.precaution AND l.created_at >= %(now)s - make_interval(days => %(days)s)
            AND l.tags && %(tags)s::text[]) AS changes_in_7_days
FROM superset_ext.cache_performance_log
WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm' AND dataset_id = %(dataset)s
    AND created_at >= %(now)s - interval '1 day' AND created_at < %(now)s
