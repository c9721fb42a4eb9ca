-- What to set otherwise, as it was last worked out; the dashboards begin with it.

CREATE TABLE IF NOT EXISTS superset_ext.recommendation (
    place integer PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    finding text NOT NULL,
    setting text NOT NULL,
    brings text NOT NULL,
    estimated_seconds_a_day double precision NOT NULL
);

COMMENT ON TABLE superset_ext.recommendation IS 'What to set otherwise, as it was last worked out; superset perf recommend also has the evidence.';
COMMENT ON COLUMN superset_ext.recommendation.place IS '1 for what should bring most.';
COMMENT ON COLUMN superset_ext.recommendation.at IS 'When it was worked out.';
COMMENT ON COLUMN superset_ext.recommendation.kind IS 'Of what sort it is.';
COMMENT ON COLUMN superset_ext.recommendation.subject IS 'What it is about, as dataset:12.';
COMMENT ON COLUMN superset_ext.recommendation.name IS 'What people call that.';
COMMENT ON COLUMN superset_ext.recommendation.finding IS 'What was found, in a sentence.';
COMMENT ON COLUMN superset_ext.recommendation.setting IS 'What to set: a setting with its value, or a command.';
COMMENT ON COLUMN superset_ext.recommendation.brings IS 'What that should bring; an estimate says so.';
COMMENT ON COLUMN superset_ext.recommendation.estimated_seconds_a_day IS 'Database seconds a day that it should bring, an estimate.';

CREATE OR REPLACE FUNCTION superset_ext.region_counts(days integer, until timestamptz)
RETURNS TABLE (
    at timestamptz, cache_type text, dataset_id integer, chart_id integer, dashboard_id integer, channel text,
    hits bigint, misses bigint, miss_cold bigint, miss_expired bigint, miss_evicted bigint, miss_forced bigint,
    sets bigint, sets_too_large bigint, sets_memory bigint, bytes_written bigint, evictions bigint, memory_peak bigint,
    response_count bigint, response_ms_sum double precision, saved_ms double precision
)
LANGUAGE sql STABLE
AS $$
    SELECT hour, cache_type, dataset_id, chart_id, dashboard_id, channel, hits, misses, miss_cold, miss_expired,
        miss_evicted, miss_forced, sets, sets_too_large, sets_memory, bytes_written, evictions, memory_peak,
        response_count, response_ms_sum, saved_ms
    FROM superset_ext.cache_hourly
    WHERE hour >= until - make_interval(days => days) AND hour < date_trunc('hour', until - interval '1 day', 'UTC')
    UNION ALL
    SELECT created_at, cache_type, coalesce(dataset_id, 0), coalesce(chart_id, 0), coalesce(dashboard_id, 0),
        coalesce(channel, ''), cache_hits, cache_misses, miss_cold, miss_expired, miss_evicted, miss_forced, sets,
        sets_too_large, sets_memory, bytes_written, evictions, memory_usage, response_count, response_ms_sum, saved_ms
    FROM superset_ext.cache_performance_log
    WHERE created_at >= date_trunc('hour', until - interval '1 day', 'UTC') AND created_at < until
$$;

COMMENT ON FUNCTION superset_ext.region_counts(integer, timestamptz) IS 'What regions counted in the days before a moment: the rollups, and of the last day, which they may not have yet, the raw log.';
