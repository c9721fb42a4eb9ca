-- Datasets by day, thirteen months. Region chart_data; warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_dataset;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_dataset_recent, superset_ext.perf_dataset_past;
DROP VIEW IF EXISTS superset_ext.perf_dataset_live;

CREATE VIEW superset_ext.perf_dataset_live AS
SELECT
    day, dataset_id, dataset, database, hits + misses AS requests, hits, misses,
    hits::double precision / nullif(hits + misses, 0) AS hit_ratio, saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_total(miss_histogram) / 1000 AS spent_seconds
FROM (
    SELECT
        c.day, c.dataset_id, superset_ext.object_label('dataset', c.dataset_id, dataset.name) AS dataset,
        superset_ext.object_label('database', coalesce(home.database_id, 0), named.name) AS database,
        sum(c.hits)::bigint AS hits, sum(c.misses)::bigint AS misses, sum(c.saved_ms) AS saved_ms,
        superset_ext.histogram_merge(c.miss_histogram) AS miss_histogram
    FROM superset_ext.cache_daily AS c
    LEFT JOIN superset_ext.object_name AS dataset
        ON dataset.kind = 'dataset' AND dataset.id = c.dataset_id
    LEFT JOIN (
        SELECT dataset_id, max(database_id) AS database_id
        FROM (
            SELECT dataset_id, database_id FROM superset_ext.cache_request
            UNION ALL
            SELECT dataset_id, database_id FROM superset_ext.query_hourly
            WHERE hour >= date_trunc('hour', now(), 'UTC') - interval '8 days'
        ) AS asked
        WHERE dataset_id > 0
        GROUP BY dataset_id
    ) AS home USING (dataset_id)
    LEFT JOIN superset_ext.object_name AS named ON named.kind = 'database' AND named.id = home.database_id
    WHERE c.cache_type = 'chart_data' AND c.channel <> 'warm'
    GROUP BY 1, 2, 3, 4
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_dataset_past AS
SELECT * FROM superset_ext.perf_dataset_live
WHERE day >= (superset_ext.utc_today() - interval '13 months')::date
    AND day < superset_ext.utc_today() - 1;

CREATE MATERIALIZED VIEW superset_ext.perf_dataset_recent AS
SELECT * FROM superset_ext.perf_dataset_live
WHERE day >= superset_ext.utc_today() - 1;

CREATE UNIQUE INDEX perf_dataset_past_key
    ON superset_ext.perf_dataset_past (day, dataset_id);
CREATE UNIQUE INDEX perf_dataset_recent_key
    ON superset_ext.perf_dataset_recent (day, dataset_id);

-- Its moment rather than its date: of a range that ends now, a filter on dates would leave today out.
CREATE VIEW superset_ext.perf_dataset AS
SELECT
    day::timestamp AT TIME ZONE 'UTC' AS day, dataset_id, dataset, database, requests, hits, misses, hit_ratio,
    saved_seconds, spent_seconds
FROM (
    SELECT * FROM superset_ext.perf_dataset_past
    UNION ALL
    SELECT * FROM superset_ext.perf_dataset_recent
) AS kept;

COMMENT ON VIEW superset_ext.perf_dataset_live IS 'What perf_dataset is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_dataset_past IS 'perf_dataset before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_dataset_recent IS 'perf_dataset since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_dataset IS 'Datasets by day (UTC), thirteen months. Region chart_data; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_dataset.day IS 'When the day begins (UTC).';
COMMENT ON COLUMN superset_ext.perf_dataset.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.perf_dataset.dataset IS 'Its name.';
COMMENT ON COLUMN superset_ext.perf_dataset.database IS 'Its database; – where no query of it is known.';
COMMENT ON COLUMN superset_ext.perf_dataset.requests IS 'Reads of the cache: hits and misses.';
COMMENT ON COLUMN superset_ext.perf_dataset.hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.perf_dataset.misses IS 'Reads that it did not answer.';
COMMENT ON COLUMN superset_ext.perf_dataset.hit_ratio IS 'hits / requests, 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.perf_dataset.saved_seconds IS 'Seconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.perf_dataset.spent_seconds IS 'Seconds from the read that missed until the value was there, of all misses that ended in one; from their histogram, within 5 %.';
