-- What each chart of a dataset was asked for by people, from `since` to `until`.
SELECT coalesce(dataset_id, 0) AS dataset_id, coalesce(chart_id, 0) AS chart_id, sum(cache_hits)::float8 AS hits,
    sum(stale_hits)::float8 AS stale, sum(miss_cold)::float8 AS cold, sum(miss_expired)::float8 AS expired,
    sum(miss_invalidated)::float8 AS invalidated, sum(miss_evicted)::float8 AS evicted,
    sum(bytes_written)::float8 AS bytes_written,
    coalesce(sum(saved_ms) / NULLIF(sum(cache_hits), 0), sum(response_ms_sum) / NULLIF(sum(response_count), 0), 0)
        / 1000 AS cost
FROM superset_ext.cache_performance_log
WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
    AND created_at >= %(since)s AND created_at < %(until)s
GROUP BY 1, 2
