-- What each cache did in the last day, warming's own requests aside; times in milliseconds, within 5 %.
SELECT
    cache_type, sum(cache_hits)::bigint AS hits, sum(cache_misses)::bigint AS misses,
    sum(cache_hits)::float8 / NULLIF(sum(cache_hits + cache_misses), 0) AS hit_ratio,
    sum(stale_hits)::bigint AS stale_hits, sum(coalesced)::bigint AS coalesced,
    sum(miss_cold)::bigint AS miss_cold, sum(miss_expired)::bigint AS miss_expired,
    sum(miss_invalidated)::bigint AS miss_invalidated, sum(miss_evicted)::bigint AS miss_evicted,
    sum(miss_forced)::bigint AS miss_forced, sum(miss_disabled)::bigint AS miss_disabled,
    sum(miss_rejected)::bigint AS miss_rejected, sum(miss_unknown_format)::bigint AS miss_unknown_format,
    sum(miss_bad_signature)::bigint AS miss_bad_signature, sum(miss_error)::bigint AS miss_error,
    sum(errors)::bigint AS errors, sum(bytes_read)::bigint AS bytes_read, sum(bytes_written)::bigint AS bytes_written,
    sum(saved_ms) / 1000 AS saved_seconds,
    superset_ext.histogram_quantile(superset_ext.histogram_merge(hit_histogram), 0.5) AS hit_p50_ms,
    superset_ext.histogram_quantile(superset_ext.histogram_merge(hit_histogram), 0.95) AS hit_p95_ms,
    superset_ext.histogram_quantile(superset_ext.histogram_merge(miss_histogram), 0.95) AS miss_p95_ms
FROM superset_ext.cache_performance_log
WHERE created_at >= now() - interval '1 day' AND channel IS DISTINCT FROM 'warm'
GROUP BY cache_type
ORDER BY cache_type;
