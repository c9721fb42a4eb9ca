-- Dashboards by day, thirteen months. Region chart_data; warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_dashboard;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_dashboard_recent, superset_ext.perf_dashboard_past;
DROP VIEW IF EXISTS superset_ext.perf_dashboard_live;

CREATE VIEW superset_ext.perf_dashboard_live AS
SELECT
    day, dashboard_id, dashboard, hits + misses AS requests, hits, misses,
    hits::double precision / nullif(hits + misses, 0) AS hit_ratio, saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_total(miss_histogram) / 1000 AS spent_seconds,
    superset_ext.histogram_quantile(miss_histogram, 0.95) AS miss_p95_ms
FROM (
    SELECT
        c.day, c.dashboard_id, superset_ext.object_label('dashboard', c.dashboard_id, dashboard.name) AS dashboard,
        sum(c.hits)::bigint AS hits, sum(c.misses)::bigint AS misses, sum(c.saved_ms) AS saved_ms,
        superset_ext.histogram_merge(c.miss_histogram) AS miss_histogram
    FROM superset_ext.cache_daily AS c
    LEFT JOIN superset_ext.object_name AS dashboard
        ON dashboard.kind = 'dashboard' AND dashboard.id = c.dashboard_id
    WHERE c.cache_type = 'chart_data' AND c.channel <> 'warm'
    GROUP BY 1, 2, 3
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_dashboard_past AS
SELECT * FROM superset_ext.perf_dashboard_live
WHERE day >= (superset_ext.utc_today() - interval '13 months')::date
    AND day < superset_ext.utc_today() - 1;

CREATE MATERIALIZED VIEW superset_ext.perf_dashboard_recent AS
SELECT * FROM superset_ext.perf_dashboard_live
WHERE day >= superset_ext.utc_today() - 1;

CREATE UNIQUE INDEX perf_dashboard_past_key
    ON superset_ext.perf_dashboard_past (day, dashboard_id);
CREATE UNIQUE INDEX perf_dashboard_recent_key
    ON superset_ext.perf_dashboard_recent (day, dashboard_id);

-- Its moment rather than its date: of a range that ends now, a filter on dates would leave today out.
CREATE VIEW superset_ext.perf_dashboard AS
SELECT
    day::timestamp AT TIME ZONE 'UTC' AS day, dashboard_id, dashboard, requests, hits, misses, hit_ratio,
    saved_seconds, spent_seconds, miss_p95_ms
FROM (
    SELECT * FROM superset_ext.perf_dashboard_past
    UNION ALL
    SELECT * FROM superset_ext.perf_dashboard_recent
) AS kept;

COMMENT ON VIEW superset_ext.perf_dashboard_live IS 'What perf_dashboard is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_dashboard_past IS 'perf_dashboard before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_dashboard_recent IS 'perf_dashboard since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_dashboard IS 'Dashboards by day (UTC), thirteen months. Region chart_data; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_dashboard.day IS 'When the day begins (UTC).';
COMMENT ON COLUMN superset_ext.perf_dashboard.dashboard_id IS 'Superset''s dashboard; 0 outside of one.';
COMMENT ON COLUMN superset_ext.perf_dashboard.dashboard IS 'Its title.';
COMMENT ON COLUMN superset_ext.perf_dashboard.requests IS 'Reads of the cache: hits and misses.';
COMMENT ON COLUMN superset_ext.perf_dashboard.hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.perf_dashboard.misses IS 'Reads that it did not answer.';
COMMENT ON COLUMN superset_ext.perf_dashboard.hit_ratio IS 'hits / requests, 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.perf_dashboard.saved_seconds IS 'Seconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.perf_dashboard.spent_seconds IS 'Seconds from the read that missed until the value was there, of all misses that ended in one; from their histogram, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_dashboard.miss_p95_ms IS '95th percentile of these times in milliseconds, within 5 %.';
