-- The 200 statements that cost most of each day, the last 30 days, warming's included.

DROP VIEW IF EXISTS superset_ext.perf_slow_query;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_slow_query_recent, superset_ext.perf_slow_query_past;
DROP VIEW IF EXISTS superset_ext.perf_slow_query_live;

CREATE VIEW superset_ext.perf_slow_query_live AS
SELECT
    day, fingerprint, sql, database, dataset, chart, dashboard, chart_id, runs, errors,
    duration_ms_sum / nullif(runs, 0) AS mean_ms,
    superset_ext.histogram_quantile(histogram, 0.95) AS p95_ms, duration_ms_max AS max_ms,
    duration_ms_sum / 1000 AS total_seconds
FROM (
    SELECT
        ranked.day, ranked.fingerprint, left(statement.sql, 300) AS sql,
        superset_ext.object_label('database', ranked.database_id, database.name) AS database,
        superset_ext.object_label('dataset', ranked.dataset_id, dataset.name) AS dataset,
        superset_ext.object_label('chart', ranked.chart_id, chart.name) AS chart,
        superset_ext.object_label('dashboard', ranked.dashboard_id, dashboard.name) AS dashboard,
        max(ranked.chart_id) AS chart_id, sum(ranked.runs)::bigint AS runs, sum(ranked.errors)::bigint AS errors,
        sum(ranked.duration_ms_sum) AS duration_ms_sum, max(ranked.duration_ms_max) AS duration_ms_max,
        superset_ext.histogram_merge(ranked.histogram) AS histogram
    FROM (
        SELECT
            *, row_number() OVER (
                PARTITION BY day
                ORDER BY duration_ms_sum DESC, fingerprint, database_id, dataset_id, chart_id, dashboard_id
            ) AS place
        FROM superset_ext.query_daily
    ) AS ranked
    LEFT JOIN superset_ext.query_fingerprint AS statement USING (fingerprint)
    LEFT JOIN superset_ext.object_name AS database
        ON database.kind = 'database' AND database.id = ranked.database_id
    LEFT JOIN superset_ext.object_name AS dataset
        ON dataset.kind = 'dataset' AND dataset.id = ranked.dataset_id
    LEFT JOIN superset_ext.object_name AS chart
        ON chart.kind = 'chart' AND chart.id = ranked.chart_id
    LEFT JOIN superset_ext.object_name AS dashboard
        ON dashboard.kind = 'dashboard' AND dashboard.id = ranked.dashboard_id
    WHERE ranked.place <= 200
    GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_slow_query_past AS
SELECT * FROM superset_ext.perf_slow_query_live
WHERE day >= superset_ext.utc_today() - 30
    AND day < superset_ext.utc_today() - 1;

CREATE MATERIALIZED VIEW superset_ext.perf_slow_query_recent AS
SELECT * FROM superset_ext.perf_slow_query_live
WHERE day >= superset_ext.utc_today() - 1;

CREATE UNIQUE INDEX perf_slow_query_past_key
    ON superset_ext.perf_slow_query_past (day, fingerprint, database, dataset, chart, dashboard);
CREATE UNIQUE INDEX perf_slow_query_recent_key
    ON superset_ext.perf_slow_query_recent (day, fingerprint, database, dataset, chart, dashboard);

-- Its moment rather than its date: of a range that ends now, a filter on dates would leave today out.
CREATE VIEW superset_ext.perf_slow_query AS
SELECT
    day::timestamp AT TIME ZONE 'UTC' AS day, fingerprint, sql, database, dataset, chart, dashboard, chart_id,
    runs, errors, mean_ms, p95_ms, max_ms, total_seconds,
    EXISTS (SELECT FROM superset_ext.query_plan AS plan WHERE plan.fingerprint = kept.fingerprint) AS has_plan
FROM (
    SELECT * FROM superset_ext.perf_slow_query_past
    UNION ALL
    SELECT * FROM superset_ext.perf_slow_query_recent
) AS kept;

COMMENT ON VIEW superset_ext.perf_slow_query_live IS 'What perf_slow_query is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_slow_query_past IS 'perf_slow_query before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_slow_query_recent IS 'perf_slow_query since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_slow_query IS 'The 200 statements that cost most of each day (UTC), the last 30 days, warming''s included.';
COMMENT ON COLUMN superset_ext.perf_slow_query.day IS 'When the day begins (UTC).';
COMMENT ON COLUMN superset_ext.perf_slow_query.fingerprint IS 'Hash of the statement without its literals; empty for none.';
COMMENT ON COLUMN superset_ext.perf_slow_query.sql IS 'The statement with ? for each literal, its first 300 characters.';
COMMENT ON COLUMN superset_ext.perf_slow_query.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_slow_query.dataset IS 'Dataset, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_slow_query.chart IS 'Chart, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_slow_query.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_slow_query.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.perf_slow_query.runs IS 'Queries.';
COMMENT ON COLUMN superset_ext.perf_slow_query.errors IS 'Those that failed.';
COMMENT ON COLUMN superset_ext.perf_slow_query.mean_ms IS 'Mean of their times in milliseconds.';
COMMENT ON COLUMN superset_ext.perf_slow_query.p95_ms IS '95th percentile of these, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_slow_query.max_ms IS 'The longest.';
COMMENT ON COLUMN superset_ext.perf_slow_query.total_seconds IS 'Sum of their times in seconds.';
COMMENT ON COLUMN superset_ext.perf_slow_query.has_plan IS 'Whether a plan of it is kept.';
