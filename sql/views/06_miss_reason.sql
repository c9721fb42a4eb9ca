-- Why the caches did not answer, by hour and dashboard, the last eight days. Warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_miss_reason;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_miss_reason_recent, superset_ext.perf_miss_reason_past;
DROP VIEW IF EXISTS superset_ext.perf_miss_reason_live;

CREATE VIEW superset_ext.perf_miss_reason_live AS
SELECT
    c.hour, c.cache_type, superset_ext.object_label('dashboard', c.dashboard_id, dashboard.name) AS dashboard,
    why.reason, sum(why.misses)::bigint AS misses
FROM superset_ext.cache_hourly AS c
CROSS JOIN LATERAL superset_ext.miss_reasons(c) AS why
LEFT JOIN superset_ext.object_name AS dashboard
        ON dashboard.kind = 'dashboard' AND dashboard.id = c.dashboard_id
WHERE c.channel <> 'warm' AND why.misses > 0
GROUP BY 1, 2, 3, 4;

CREATE MATERIALIZED VIEW superset_ext.perf_miss_reason_past AS
SELECT * FROM superset_ext.perf_miss_reason_live
WHERE hour >= date_trunc('hour', now(), 'UTC') - interval '8 days'
    AND hour < (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE MATERIALIZED VIEW superset_ext.perf_miss_reason_recent AS
SELECT * FROM superset_ext.perf_miss_reason_live
WHERE hour >= (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE UNIQUE INDEX perf_miss_reason_past_key
    ON superset_ext.perf_miss_reason_past (hour, cache_type, dashboard, reason);
CREATE UNIQUE INDEX perf_miss_reason_recent_key
    ON superset_ext.perf_miss_reason_recent (hour, cache_type, dashboard, reason);

CREATE VIEW superset_ext.perf_miss_reason AS
SELECT * FROM superset_ext.perf_miss_reason_past
UNION ALL
SELECT * FROM superset_ext.perf_miss_reason_recent;

COMMENT ON VIEW superset_ext.perf_miss_reason_live IS 'What perf_miss_reason is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_miss_reason_past IS 'perf_miss_reason before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_miss_reason_recent IS 'perf_miss_reason since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_miss_reason IS 'Why the caches did not answer, by hour (UTC) and dashboard, the last eight days; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_miss_reason.hour IS 'Hour (UTC).';
COMMENT ON COLUMN superset_ext.perf_miss_reason.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.perf_miss_reason.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_miss_reason.reason IS 'As the miss_ columns of cache_performance_log.';
COMMENT ON COLUMN superset_ext.perf_miss_reason.misses IS 'Reads that were not answered.';
