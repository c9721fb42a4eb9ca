-- Adds what charts were asked for, by five minutes from `since` to `until`, to the series in which anomalies are found.
INSERT INTO superset_ext.performance_series (series, at, value, events)
SELECT s.series, log.at, s.value, s.events
FROM (
    SELECT date_bin('5 minutes', created_at, '2000-01-01 00:00:00+00') AS at, sum(cache_hits) AS hits,
        sum(cache_hits + cache_misses)::float8 AS asked,
        sum(cache_hits + cache_misses - miss_cold)::float8 AS repeated,
        sum(errors) AS errors, sum(response_ms_sum) AS ms, sum(response_count)::float8 AS answered
    FROM superset_ext.cache_performance_log
    WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
        AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1
) AS log
CROSS JOIN LATERAL (VALUES
    ('hit_ratio', log.hits / nullif(log.repeated, 0), log.repeated),
    ('response_ms', log.ms / nullif(log.answered, 0), log.answered),
    ('requests', nullif(log.asked, 0), log.asked),
    ('errors', least(log.errors / nullif(log.asked, 0), 1), log.asked)
) AS s (series, value, events)
WHERE s.value IS NOT NULL
ON CONFLICT (series, at) DO UPDATE SET value = excluded.value, events = excluded.events
    WHERE (performance_series.value, performance_series.events) IS DISTINCT FROM (excluded.value, excluded.events)
