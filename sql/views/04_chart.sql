-- Charts by day, thirteen months. Region chart_data; warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_chart;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_chart_recent, superset_ext.perf_chart_past;
DROP VIEW IF EXISTS superset_ext.perf_chart_live;

CREATE VIEW superset_ext.perf_chart_live AS
SELECT
    day, chart_id, chart, dashboard, dataset, hits + misses AS requests, hits, misses,
    hits::double precision / nullif(hits + misses, 0) AS hit_ratio, saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_total(miss_histogram) / 1000 AS spent_seconds,
    superset_ext.histogram_quantile(miss_histogram, 0.95) AS miss_p95_ms
FROM (
    SELECT
        c.day, c.chart_id, superset_ext.object_label('chart', c.chart_id, chart.name) AS chart,
        superset_ext.object_label('dashboard', c.dashboard_id, dashboard.name) AS dashboard,
        superset_ext.object_label('dataset', c.dataset_id, dataset.name) AS dataset,
        sum(c.hits)::bigint AS hits, sum(c.misses)::bigint AS misses, sum(c.saved_ms) AS saved_ms,
        superset_ext.histogram_merge(c.miss_histogram) AS miss_histogram
    FROM superset_ext.cache_daily AS c
    LEFT JOIN superset_ext.object_name AS chart
        ON chart.kind = 'chart' AND chart.id = c.chart_id
    LEFT JOIN superset_ext.object_name AS dashboard
        ON dashboard.kind = 'dashboard' AND dashboard.id = c.dashboard_id
    LEFT JOIN superset_ext.object_name AS dataset
        ON dataset.kind = 'dataset' AND dataset.id = c.dataset_id
    WHERE c.cache_type = 'chart_data' AND c.channel <> 'warm'
    GROUP BY 1, 2, 3, 4, 5
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_chart_past AS
SELECT * FROM superset_ext.perf_chart_live
WHERE day >= (superset_ext.utc_today() - interval '13 months')::date
    AND day < superset_ext.utc_today() - 1;

CREATE MATERIALIZED VIEW superset_ext.perf_chart_recent AS
SELECT * FROM superset_ext.perf_chart_live
WHERE day >= superset_ext.utc_today() - 1;

CREATE UNIQUE INDEX perf_chart_past_key
    ON superset_ext.perf_chart_past (day, chart_id, dashboard, dataset);
CREATE UNIQUE INDEX perf_chart_recent_key
    ON superset_ext.perf_chart_recent (day, chart_id, dashboard, dataset);

-- Its moment rather than its date: of a range that ends now, a filter on dates would leave today out.
CREATE VIEW superset_ext.perf_chart AS
SELECT
    day::timestamp AT TIME ZONE 'UTC' AS day, chart_id, chart, dashboard, dataset, requests, hits, misses,
    hit_ratio, saved_seconds, spent_seconds, miss_p95_ms
FROM (
    SELECT * FROM superset_ext.perf_chart_past
    UNION ALL
    SELECT * FROM superset_ext.perf_chart_recent
) AS kept;

COMMENT ON VIEW superset_ext.perf_chart_live IS 'What perf_chart is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_chart_past IS 'perf_chart before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_chart_recent IS 'perf_chart since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_chart IS 'Charts by day (UTC), dashboard and dataset, thirteen months. Region chart_data; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_chart.day IS 'When the day begins (UTC).';
COMMENT ON COLUMN superset_ext.perf_chart.chart_id IS 'Superset''s chart; 0 for what is none, as the values of a filter.';
COMMENT ON COLUMN superset_ext.perf_chart.chart IS 'Its name.';
COMMENT ON COLUMN superset_ext.perf_chart.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_chart.dataset IS 'Dataset.';
COMMENT ON COLUMN superset_ext.perf_chart.requests IS 'Reads of the cache: hits and misses.';
COMMENT ON COLUMN superset_ext.perf_chart.hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.perf_chart.misses IS 'Reads that it did not answer.';
COMMENT ON COLUMN superset_ext.perf_chart.hit_ratio IS 'hits / requests, 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.perf_chart.saved_seconds IS 'Seconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.perf_chart.spent_seconds IS 'Seconds from the read that missed until the value was there, of all misses that ended in one; from their histogram, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_chart.miss_p95_ms IS '95th percentile of these times in milliseconds, within 5 %.';
