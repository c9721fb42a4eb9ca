-- Adds the durations and failures of each database's queries, by five minutes from `since` to `until`, to the series in
-- which anomalies are found. The duration is the geometric mean, which one query of an hour does not move.
INSERT INTO superset_ext.performance_series (series, at, value, events)
SELECT s.series || ':' || log.id, log.at, s.value, s.events
FROM (
    SELECT coalesce(database_id, 0) AS id, date_bin('5 minutes', created_at, '2000-01-01 00:00:00+00') AS at,
        exp(avg(ln(greatest(duration_ms, 0.001))) FILTER (WHERE error IS NULL)) AS ms,
        count(*) FILTER (WHERE error IS NULL) AS succeeded, count(*) FILTER (WHERE source = 'chart') AS charts,
        count(*) FILTER (WHERE source = 'chart' AND error IS NOT NULL) AS failed
    FROM superset_ext.query_performance_log
    WHERE channel IS DISTINCT FROM 'warm' AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1, 2
) AS log
CROSS JOIN LATERAL (VALUES
    ('query_ms', log.ms, log.succeeded), ('query_errors', log.failed::float8 / nullif(log.charts, 0), log.charts)
) AS s (series, value, events)
WHERE s.value IS NOT NULL
ON CONFLICT (series, at) DO UPDATE SET value = excluded.value, events = excluded.events
    WHERE (performance_series.value, performance_series.events) IS DISTINCT FROM (excluded.value, excluded.events)
