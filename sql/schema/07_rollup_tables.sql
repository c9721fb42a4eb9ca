-- The rollups, the logs added up by hour and by day, and the lists of what is in them.
--
-- What a rollup has a row for is its primary key, which is written here. What it adds up is listed in the view
-- rollup_measure: of the caches that is whatever cache_performance_log counts.

CREATE TABLE IF NOT EXISTS superset_ext.cache_hourly (
    hour timestamptz NOT NULL,
    cache_type text NOT NULL,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    channel text NOT NULL DEFAULT '',
    PRIMARY KEY (hour, cache_type, dashboard_id, chart_id, dataset_id, channel)
);

COMMENT ON TABLE superset_ext.cache_hourly IS 'cache_performance_log by UTC hour, made by roll_up.';
COMMENT ON COLUMN superset_ext.cache_hourly.hour IS 'UTC hour of created_at.';
COMMENT ON COLUMN superset_ext.cache_hourly.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.cache_hourly.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.dashboard_id IS 'Superset''s dashboard; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.channel IS 'Where the requests came from; empty where none is known.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_daily (
    day date NOT NULL,
    LIKE superset_ext.cache_hourly INCLUDING DEFAULTS INCLUDING COMMENTS,
    PRIMARY KEY (day, cache_type, dashboard_id, chart_id, dataset_id, channel)
);
ALTER TABLE superset_ext.cache_daily DROP COLUMN IF EXISTS hour;

COMMENT ON TABLE superset_ext.cache_daily IS 'cache_performance_log by UTC day, made by roll_up.';
COMMENT ON COLUMN superset_ext.cache_daily.day IS 'UTC day of created_at.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_minute (
    minute timestamptz NOT NULL,
    dataset_id integer NOT NULL DEFAULT 0,
    hits bigint NOT NULL DEFAULT 0,
    misses bigint NOT NULL DEFAULT 0,
    response_count bigint NOT NULL DEFAULT 0,
    response_ms_sum double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, dataset_id)
);

COMMENT ON TABLE superset_ext.cache_minute IS 'cache_performance_log of the region chart_data by minute and dataset, without warming: it shows the effect of a change.';
COMMENT ON COLUMN superset_ext.cache_minute.minute IS 'Minute of created_at.';
COMMENT ON COLUMN superset_ext.cache_minute.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_minute.hits IS 'Sum of cache_hits.';
COMMENT ON COLUMN superset_ext.cache_minute.misses IS 'Sum of cache_misses.';
COMMENT ON COLUMN superset_ext.cache_minute.response_count IS 'Sum of response_count.';
COMMENT ON COLUMN superset_ext.cache_minute.response_ms_sum IS 'Sum of response_ms_sum, in milliseconds.';

CREATE TABLE IF NOT EXISTS superset_ext.query_hourly (
    hour timestamptz NOT NULL,
    source text NOT NULL,
    channel text NOT NULL DEFAULT '',
    database_id integer NOT NULL DEFAULT 0,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, source, channel, database_id, dataset_id, chart_id, dashboard_id)
);

COMMENT ON TABLE superset_ext.query_hourly IS 'query_performance_log by UTC hour, made by roll_up.';
COMMENT ON COLUMN superset_ext.query_hourly.hour IS 'UTC hour of created_at.';
COMMENT ON COLUMN superset_ext.query_hourly.source IS 'chart or sqllab.';
COMMENT ON COLUMN superset_ext.query_hourly.channel IS 'Where the requests came from; empty where none is known.';
COMMENT ON COLUMN superset_ext.query_hourly.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.dashboard_id IS 'Superset''s dashboard; 0 for none.';

CREATE TABLE IF NOT EXISTS superset_ext.query_daily (
    day date NOT NULL,
    fingerprint text NOT NULL DEFAULT '',
    database_id integer NOT NULL DEFAULT 0,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    PRIMARY KEY (day, fingerprint, database_id, dataset_id, chart_id, dashboard_id)
);

COMMENT ON TABLE superset_ext.query_daily IS 'query_performance_log by UTC day and statement, made by roll_up.';
COMMENT ON COLUMN superset_ext.query_daily.day IS 'UTC day of created_at.';
COMMENT ON COLUMN superset_ext.query_daily.fingerprint IS 'The statement, of query_fingerprint; empty for none.';
COMMENT ON COLUMN superset_ext.query_daily.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.dashboard_id IS 'Superset''s dashboard; 0 for none.';

CREATE OR REPLACE VIEW superset_ext.rollup_measure AS
SELECT
    'cache' AS log, counted.attnum::integer AS ordinal,
    CASE counted.attname
        WHEN 'cache_hits' THEN 'hits' WHEN 'cache_misses' THEN 'misses' WHEN 'memory_usage' THEN 'memory_peak'
        ELSE counted.attname::text
    END AS name,
    counted.attname::text AS expression,
    CASE
        WHEN counted.attname = 'memory_usage' THEN 'max'
        WHEN counted.atttypid = 'bigint[]'::regtype THEN 'histogram'
        ELSE 'sum'
    END AS kind,
    format_type(counted.atttypid, NULL) AS type,
    col_description(counted.attrelid, counted.attnum) AS meaning
FROM pg_catalog.pg_attribute AS counted
WHERE counted.attrelid = 'superset_ext.cache_performance_log'::regclass AND counted.attnum > 0
    AND NOT counted.attisdropped AND counted.attgenerated = ''
    AND counted.attname NOT IN ('window_seconds', 'transaction_id')
    AND counted.atttypid IN ('bigint'::regtype, 'double precision'::regtype, 'bigint[]'::regtype)
UNION ALL
VALUES
    ('query', 1, 'runs', '1', 'sum', 'bigint', 'Queries.'),
    ('query', 2, 'errors', '(error IS NOT NULL)::integer', 'sum', 'bigint', 'Those that failed.'),
    (
        'query', 3, 'slow', '(duration_ms >= $5)::integer', 'sum', 'bigint',
        'Those that took at least the setting of slow queries, as it was when they were rolled up.'
    ),
    ('query', 4, 'rows', 'coalesce(rows, 0)', 'sum', 'bigint', 'Rows that they returned.'),
    ('query', 5, 'duration_ms_sum', 'duration_ms', 'sum', 'double precision', 'Sum of their milliseconds.'),
    ('query', 6, 'duration_ms_max', 'duration_ms', 'max', 'double precision', 'The longest of them.'),
    (
        'query', 7, 'histogram', 'superset_ext.histogram_of(duration_ms)', 'histogram', 'bigint[]',
        'Their times, merged.'
    );

COMMENT ON VIEW superset_ext.rollup_measure IS 'The columns of the rollups that are added up.';
COMMENT ON COLUMN superset_ext.rollup_measure.log IS 'cache or query.';
COMMENT ON COLUMN superset_ext.rollup_measure.ordinal IS 'Its place among the others.';
COMMENT ON COLUMN superset_ext.rollup_measure.name IS 'Column of the hourly and the daily rollup.';
COMMENT ON COLUMN superset_ext.rollup_measure.expression IS 'What is added up, of a row of the log; $5 is the number of milliseconds from which a query is slow.';
COMMENT ON COLUMN superset_ext.rollup_measure.kind IS 'How it is added up: sum, max or histogram.';
COMMENT ON COLUMN superset_ext.rollup_measure.type IS 'Type of the column.';
COMMENT ON COLUMN superset_ext.rollup_measure.meaning IS 'Comment of the column.';

CREATE OR REPLACE FUNCTION superset_ext.add_measures(rollup text, which text) RETURNS void
LANGUAGE plpgsql
SET client_min_messages = warning
AS $$
DECLARE
    measure superset_ext.rollup_measure;
BEGIN
    FOR measure IN SELECT * FROM superset_ext.rollup_measure WHERE log = which ORDER BY ordinal LOOP
        EXECUTE format(
            'ALTER TABLE superset_ext.%I ADD COLUMN IF NOT EXISTS %I %s %s', rollup, measure.name, measure.type,
            CASE WHEN measure.kind = 'sum' OR which = 'query' AND measure.kind = 'max' THEN 'NOT NULL DEFAULT 0' END
        );
        EXECUTE format('COMMENT ON COLUMN superset_ext.%I.%I IS %L', rollup, measure.name, measure.meaning);
    END LOOP;
END
$$;

COMMENT ON FUNCTION superset_ext.add_measures(text, text) IS 'Adds the columns of rollup_measure that a rollup lacks.';

-- miss_reasons has the reasons written out, since views call it for each row of cache_hourly.
CREATE OR REPLACE FUNCTION superset_ext.make_miss_reasons() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION superset_ext.miss_reasons(counted superset_ext.cache_hourly)'
        ' RETURNS TABLE (reason text, misses bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        (
            SELECT 'VALUES ' || string_agg(format('(%L, counted.%I)', substr(name, 6), name), ', ' ORDER BY ordinal)
            FROM superset_ext.rollup_measure
            WHERE log = 'cache' AND name LIKE 'miss\_%' AND kind = 'sum'
        )
    );
END
$$;

COMMENT ON FUNCTION superset_ext.make_miss_reasons() IS 'Makes miss_reasons, which returns the misses of a row of cache_hourly by reason.';

CREATE OR REPLACE FUNCTION superset_ext.follow_cache_log() RETURNS void
LANGUAGE sql
AS $$
    SELECT superset_ext.add_measures('cache_hourly', 'cache');
    SELECT superset_ext.add_measures('cache_daily', 'cache');
    SELECT superset_ext.make_miss_reasons();
$$;

COMMENT ON FUNCTION superset_ext.follow_cache_log() IS 'Adds to the rollups the columns that cache_performance_log has got.';

CREATE OR REPLACE FUNCTION superset_ext.add_miss_reason(reason text, meaning text) RETURNS void
LANGUAGE plpgsql
SET client_min_messages = warning
AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE superset_ext.cache_performance_log ADD COLUMN IF NOT EXISTS %I bigint NOT NULL DEFAULT 0',
        'miss_' || reason
    );
    EXECUTE format(
        'COMMENT ON COLUMN superset_ext.cache_performance_log.%I IS %L', 'miss_' || reason, 'Misses: ' || meaning
    );
    PERFORM superset_ext.follow_cache_log();
END
$$;

COMMENT ON FUNCTION superset_ext.add_miss_reason(text, text) IS 'Adds a reason of misses to the log, and to all that is made from it.';

SELECT superset_ext.follow_cache_log();
SELECT superset_ext.add_measures('query_hourly', 'query');
SELECT superset_ext.add_measures('query_daily', 'query');
