-- Dashboards that week after week have at least `least` misses in the same hour of the week, in UTC: in how many weeks,
-- how many misses, how many answers they have, and the seconds of one.
WITH misses AS (
    SELECT dashboard_id, date_trunc('hour', at, 'UTC') AT TIME ZONE 'UTC' AS hour,
        sum(miss_cold + miss_expired) AS misses,
        sum(response_ms_sum) / NULLIF(sum(response_count), 0) / 1000 AS mean_seconds
    FROM superset_ext.region_counts(%(days)s, %(now)s)
    WHERE cache_type = 'chart_data' AND dashboard_id <> 0 AND channel <> 'warm' GROUP BY 1, 2
), keys AS (
    SELECT r.dashboard_id, count(DISTINCT key) AS keys, avg(r.cost_ms) / 1000 AS key_seconds
    FROM superset_ext.cache_request r JOIN superset_ext.cache_access_scope s USING (fingerprint)
    CROSS JOIN unnest(s.cache_keys) AS key GROUP BY 1
)
SELECT dashboard_id, extract(isodow FROM hour)::int AS day, extract(hour FROM hour)::int AS hour,
    count(*)::int AS weeks, round(avg(misses), 1)::float8 AS misses, min(keys)::int AS keys,
    coalesce(min(key_seconds), avg(mean_seconds), 0)::float8 AS seconds_an_answer
FROM misses LEFT JOIN keys USING (dashboard_id)
WHERE misses >= %(least)s
GROUP BY 1, 2, 3 HAVING count(*) >= %(regular)s ORDER BY 1, 3, 2
