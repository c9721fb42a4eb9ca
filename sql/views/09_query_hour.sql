-- Queries to the source databases by hour, the last eight days, warming's included: they are work of the source too.

DROP VIEW IF EXISTS superset_ext.perf_query_hour;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_query_hour_recent, superset_ext.perf_query_hour_past;
DROP VIEW IF EXISTS superset_ext.perf_query_hour_live;

CREATE VIEW superset_ext.perf_query_hour_live AS
SELECT
    hour, source, database, dataset, dashboard, runs, errors, slow, rows,
    duration_ms_sum / nullif(runs, 0) AS mean_ms,
    superset_ext.histogram_quantile(histogram, 0.95) AS p95_ms, duration_ms_max AS max_ms,
    histogram
FROM (
    SELECT
        c.hour, c.source, superset_ext.object_label('database', c.database_id, database.name) AS database,
        superset_ext.object_label('dataset', c.dataset_id, dataset.name) AS dataset,
        superset_ext.object_label('dashboard', c.dashboard_id, dashboard.name) AS dashboard,
        sum(c.runs)::bigint AS runs, sum(c.errors)::bigint AS errors, sum(c.slow)::bigint AS slow,
        sum(c.rows)::bigint AS rows, sum(c.duration_ms_sum) AS duration_ms_sum,
        max(c.duration_ms_max) AS duration_ms_max,
        superset_ext.histogram_merge(c.histogram) AS histogram
    FROM superset_ext.query_hourly AS c
    LEFT JOIN superset_ext.object_name AS database
        ON database.kind = 'database' AND database.id = c.database_id
    LEFT JOIN superset_ext.object_name AS dataset
        ON dataset.kind = 'dataset' AND dataset.id = c.dataset_id
    LEFT JOIN superset_ext.object_name AS dashboard
        ON dashboard.kind = 'dashboard' AND dashboard.id = c.dashboard_id
    GROUP BY 1, 2, 3, 4, 5
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_query_hour_past AS
SELECT * FROM superset_ext.perf_query_hour_live
WHERE hour >= date_trunc('hour', now(), 'UTC') - interval '8 days'
    AND hour < (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE MATERIALIZED VIEW superset_ext.perf_query_hour_recent AS
SELECT * FROM superset_ext.perf_query_hour_live
WHERE hour >= (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE UNIQUE INDEX perf_query_hour_past_key
    ON superset_ext.perf_query_hour_past (hour, source, database, dataset, dashboard);
CREATE UNIQUE INDEX perf_query_hour_recent_key
    ON superset_ext.perf_query_hour_recent (hour, source, database, dataset, dashboard);

CREATE VIEW superset_ext.perf_query_hour AS
SELECT * FROM superset_ext.perf_query_hour_past
UNION ALL
SELECT * FROM superset_ext.perf_query_hour_recent;

COMMENT ON VIEW superset_ext.perf_query_hour_live IS 'What perf_query_hour is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_query_hour_past IS 'perf_query_hour before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_query_hour_recent IS 'perf_query_hour since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_query_hour IS 'Queries to the source databases by hour (UTC), the last eight days, warming''s included.';
COMMENT ON COLUMN superset_ext.perf_query_hour.hour IS 'Hour (UTC).';
COMMENT ON COLUMN superset_ext.perf_query_hour.source IS 'chart or sqllab.';
COMMENT ON COLUMN superset_ext.perf_query_hour.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_query_hour.dataset IS 'Dataset, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_query_hour.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_query_hour.runs IS 'Queries.';
COMMENT ON COLUMN superset_ext.perf_query_hour.errors IS 'Those that failed.';
COMMENT ON COLUMN superset_ext.perf_query_hour.slow IS 'Those that took the setting of slow queries or longer.';
COMMENT ON COLUMN superset_ext.perf_query_hour.rows IS 'Rows that they returned.';
COMMENT ON COLUMN superset_ext.perf_query_hour.mean_ms IS 'Mean of their times in milliseconds.';
COMMENT ON COLUMN superset_ext.perf_query_hour.p95_ms IS '95th percentile of these, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_query_hour.max_ms IS 'The longest.';
COMMENT ON COLUMN superset_ext.perf_query_hour.histogram IS 'Times of the queries; merge these to have a percentile over several rows.';
