-- Totals that never go down, for whoever counts by differences, as Prometheus does: the daily rollups, and what was in
-- those that have been dropped.

CREATE TABLE IF NOT EXISTS superset_ext.cache_total_past (
    cache_type text NOT NULL,
    measure text NOT NULL,
    total double precision NOT NULL,
    PRIMARY KEY (cache_type, measure)
);

COMMENT ON TABLE superset_ext.cache_total_past IS 'Sums over the days that cache_daily has no more.';
COMMENT ON COLUMN superset_ext.cache_total_past.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.cache_total_past.measure IS 'Column of cache_daily.';
COMMENT ON COLUMN superset_ext.cache_total_past.total IS 'Its sum.';

CREATE TABLE IF NOT EXISTS superset_ext.query_total_past (
    database_id integer NOT NULL,
    measure text NOT NULL,
    total double precision NOT NULL,
    PRIMARY KEY (database_id, measure)
);

COMMENT ON TABLE superset_ext.query_total_past IS 'Sums over the days that query_daily has no more.';
COMMENT ON COLUMN superset_ext.query_total_past.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_total_past.measure IS 'Column of query_daily.';
COMMENT ON COLUMN superset_ext.query_total_past.total IS 'Its sum.';

CREATE OR REPLACE FUNCTION superset_ext.cache_measures(counted superset_ext.cache_daily)
RETURNS TABLE (measure text, value double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    VALUES
        ('hits', counted.hits::float8), ('stale_hits', counted.stale_hits), ('coalesced', counted.coalesced),
        ('cold', counted.miss_cold), ('expired', counted.miss_expired), ('invalidated', counted.miss_invalidated),
        ('evicted', counted.miss_evicted), ('forced', counted.miss_forced), ('disabled', counted.miss_disabled),
        ('rejected', counted.miss_rejected), ('unknown_format', counted.miss_unknown_format),
        ('bad_signature', counted.miss_bad_signature), ('error', counted.miss_error), ('errors', counted.errors),
        ('bytes_read', counted.bytes_read), ('bytes_written', counted.bytes_written),
        ('saved_seconds', counted.saved_ms / 1000)
$$;

CREATE OR REPLACE FUNCTION superset_ext.query_measures(counted superset_ext.query_daily)
RETURNS TABLE (measure text, value double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    VALUES
        ('runs', counted.runs::float8), ('errors', counted.errors), ('slow', counted.slow),
        ('seconds', counted.duration_ms_sum / 1000)
$$;

CREATE OR REPLACE FUNCTION superset_ext.forget_cache_daily(before date) RETURNS void
LANGUAGE sql
AS $$
    WITH gone AS (
        DELETE FROM superset_ext.cache_daily WHERE day < before RETURNING *
    )
    INSERT INTO superset_ext.cache_total_past AS past (cache_type, measure, total)
    SELECT gone.cache_type, m.measure, sum(m.value)
    FROM gone CROSS JOIN LATERAL superset_ext.cache_measures(gone) AS m
    GROUP BY gone.cache_type, m.measure
    ON CONFLICT (cache_type, measure) DO UPDATE SET total = past.total + excluded.total
$$;

COMMENT ON FUNCTION superset_ext.forget_cache_daily(date) IS 'Deletes the days before one from cache_daily; what they add up to is kept.';

CREATE OR REPLACE FUNCTION superset_ext.forget_query_daily(before date) RETURNS void
LANGUAGE sql
AS $$
    WITH gone AS (
        DELETE FROM superset_ext.query_daily WHERE day < before RETURNING *
    )
    INSERT INTO superset_ext.query_total_past AS past (database_id, measure, total)
    SELECT gone.database_id, m.measure, sum(m.value)
    FROM gone CROSS JOIN LATERAL superset_ext.query_measures(gone) AS m
    GROUP BY gone.database_id, m.measure
    ON CONFLICT (database_id, measure) DO UPDATE SET total = past.total + excluded.total
$$;

COMMENT ON FUNCTION superset_ext.forget_query_daily(date) IS 'Deletes the days before one from query_daily; what they add up to is kept.';

CREATE OR REPLACE VIEW superset_ext.cache_total AS
SELECT cache_type, measure, sum(value) AS total
FROM (
    SELECT cache_type, measure, total AS value FROM superset_ext.cache_total_past
    UNION ALL
    SELECT cache_type, m.measure, m.value
    FROM superset_ext.cache_daily AS counted CROSS JOIN LATERAL superset_ext.cache_measures(counted) AS m
) AS parts
GROUP BY cache_type, measure;

COMMENT ON VIEW superset_ext.cache_total IS 'What each cache has done since the log began, as of the last fold.';
COMMENT ON COLUMN superset_ext.cache_total.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.cache_total.measure IS 'What was counted, by the names of cache_measures.';
COMMENT ON COLUMN superset_ext.cache_total.total IS 'How much, in pieces, bytes or seconds.';

CREATE OR REPLACE VIEW superset_ext.query_total AS
SELECT database_id, measure, sum(value) AS total
FROM (
    SELECT database_id, measure, total AS value FROM superset_ext.query_total_past
    UNION ALL
    SELECT database_id, m.measure, m.value
    FROM superset_ext.query_daily AS counted CROSS JOIN LATERAL superset_ext.query_measures(counted) AS m
) AS parts
GROUP BY database_id, measure;

COMMENT ON VIEW superset_ext.query_total IS 'What each source database was asked since the log began, as of the last fold.';
COMMENT ON COLUMN superset_ext.query_total.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_total.measure IS 'What was counted, by the names of query_measures.';
COMMENT ON COLUMN superset_ext.query_total.total IS 'How much, in pieces or seconds.';
