-- What each change of the last day did: the hit ratio and the mean response time, in milliseconds, of the datasets that
-- show what changed, in the quarter of an hour before it and after it. Warming's own requests are left out. Requests are
-- counted by intervals of a few seconds; the one in which the change fell is taken for after it.
SELECT
    change.id, moment.at, change.source, change.operation, change.tables, change.seconds,
    change.entries_affected, change.entries_exact, change.rewarmed,
    earlier.requests AS requests_before, later.requests AS requests_after,
    earlier.hit_ratio AS hit_ratio_before, later.hit_ratio AS hit_ratio_after,
    earlier.response_time AS response_time_before, later.response_time AS response_time_after
FROM superset_ext.cache_invalidation_log change
CROSS JOIN LATERAL (SELECT COALESCE(change.stamped_at, change.created_at) AS at) AS moment
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(DISTINCT request.dataset_id), '{}') AS ids
    FROM superset_ext.cache_request request
    WHERE request.tags && (
        SELECT array_agg(tag) || array_agg(tag || '@' || change.operation) FROM unnest(change.tags) AS tag
    )
) AS dataset
CROSS JOIN LATERAL (
    SELECT
        COALESCE(sum(cache_hits + cache_misses), 0) AS requests,
        sum(cache_hits) / NULLIF(sum(cache_hits + cache_misses), 0) AS hit_ratio,
        sum(response_ms_sum) / NULLIF(sum(response_count), 0) AS response_time
    FROM superset_ext.cache_performance_log
    WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm' AND dataset_id = ANY (dataset.ids)
        AND created_at >= moment.at - interval '15 minutes' AND created_at < moment.at
) AS earlier
CROSS JOIN LATERAL (
    SELECT
        COALESCE(sum(cache_hits + cache_misses), 0) AS requests,
        sum(cache_hits) / NULLIF(sum(cache_hits + cache_misses), 0) AS hit_ratio,
        sum(response_ms_sum) / NULLIF(sum(response_count), 0) AS response_time
    FROM superset_ext.cache_performance_log
    WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm' AND dataset_id = ANY (dataset.ids)
        AND created_at >= moment.at AND created_at < moment.at + interval '15 minutes'
) AS later
WHERE change.created_at >= now() - interval '1 day' AND NOT change.precaution
ORDER BY moment.at DESC;
