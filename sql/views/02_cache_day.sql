-- The caches by day and dashboard, thirteen months. Warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_cache_day;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_cache_day_recent, superset_ext.perf_cache_day_past;
DROP VIEW IF EXISTS superset_ext.perf_cache_day_live;

CREATE VIEW superset_ext.perf_cache_day_live AS
SELECT
    day, cache_type, dashboard, hits + misses AS requests, hits, misses,
    hits::double precision / nullif(hits + misses, 0) AS hit_ratio, stale_hits, coalesced,
    saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_quantile(hit_histogram, 0.95) AS hit_p95_ms,
    superset_ext.histogram_quantile(miss_histogram, 0.95) AS miss_p95_ms,
    response_ms_sum / nullif(response_count, 0) AS response_ms, evictions,
    memory_peak / 1048576.0::double precision AS memory_mib, hit_histogram, miss_histogram
FROM (
    SELECT
        c.day, c.cache_type, superset_ext.object_label('dashboard', c.dashboard_id, named.name) AS dashboard,
        coalesce(sum(c.hits) FILTER (WHERE c.channel <> 'warm'), 0)::bigint AS hits,
        coalesce(sum(c.misses) FILTER (WHERE c.channel <> 'warm'), 0)::bigint AS misses,
        coalesce(sum(c.stale_hits) FILTER (WHERE c.channel <> 'warm'), 0)::bigint AS stale_hits,
        coalesce(sum(c.coalesced) FILTER (WHERE c.channel <> 'warm'), 0)::bigint AS coalesced,
        coalesce(sum(c.saved_ms) FILTER (WHERE c.channel <> 'warm'), 0) AS saved_ms,
        superset_ext.histogram_merge(c.hit_histogram) FILTER (WHERE c.channel <> 'warm') AS hit_histogram,
        superset_ext.histogram_merge(c.miss_histogram) FILTER (WHERE c.channel <> 'warm') AS miss_histogram,
        sum(c.response_ms_sum) FILTER (WHERE c.channel <> 'warm') AS response_ms_sum,
        sum(c.response_count) FILTER (WHERE c.channel <> 'warm') AS response_count,
        sum(c.evictions)::bigint AS evictions, max(c.memory_peak) AS memory_peak
    FROM superset_ext.cache_daily AS c
    LEFT JOIN superset_ext.object_name AS named
        ON named.kind = 'dashboard' AND named.id = c.dashboard_id
    GROUP BY 1, 2, 3
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_cache_day_past AS
SELECT * FROM superset_ext.perf_cache_day_live
WHERE day >= (superset_ext.utc_today() - interval '13 months')::date
    AND day < superset_ext.utc_today() - 1;

CREATE MATERIALIZED VIEW superset_ext.perf_cache_day_recent AS
SELECT * FROM superset_ext.perf_cache_day_live
WHERE day >= superset_ext.utc_today() - 1;

CREATE UNIQUE INDEX perf_cache_day_past_key
    ON superset_ext.perf_cache_day_past (day, cache_type, dashboard);
CREATE UNIQUE INDEX perf_cache_day_recent_key
    ON superset_ext.perf_cache_day_recent (day, cache_type, dashboard);

-- Its moment rather than its date: of a range that ends now, a filter on dates would leave today out.
CREATE VIEW superset_ext.perf_cache_day AS
SELECT
    day::timestamp AT TIME ZONE 'UTC' AS day, cache_type, dashboard, requests, hits, misses, hit_ratio,
    stale_hits, coalesced, saved_seconds, hit_p95_ms, miss_p95_ms, response_ms, evictions, memory_mib, hit_histogram,
    miss_histogram
FROM (
    SELECT * FROM superset_ext.perf_cache_day_past
    UNION ALL
    SELECT * FROM superset_ext.perf_cache_day_recent
) AS kept;

COMMENT ON VIEW superset_ext.perf_cache_day_live IS 'What perf_cache_day is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_cache_day_past IS 'perf_cache_day before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_cache_day_recent IS 'perf_cache_day since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_cache_day IS 'The caches by day (UTC) and dashboard, thirteen months; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_cache_day.day IS 'When the day begins (UTC).';
COMMENT ON COLUMN superset_ext.perf_cache_day.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.perf_cache_day.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_cache_day.requests IS 'Reads of the cache: hits and misses.';
COMMENT ON COLUMN superset_ext.perf_cache_day.hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.perf_cache_day.misses IS 'Reads that it did not answer.';
COMMENT ON COLUMN superset_ext.perf_cache_day.hit_ratio IS 'hits / requests, 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.perf_cache_day.stale_hits IS 'Of the hits: old answers, given while somebody refreshed them.';
COMMENT ON COLUMN superset_ext.perf_cache_day.coalesced IS 'Of the hits: waited for the same query of another caller.';
COMMENT ON COLUMN superset_ext.perf_cache_day.saved_seconds IS 'Seconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.perf_cache_day.hit_p95_ms IS '95th percentile of the times of hits in milliseconds, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_cache_day.miss_p95_ms IS '95th percentile of the times of misses until they had their value, likewise.';
COMMENT ON COLUMN superset_ext.perf_cache_day.response_ms IS 'Mean of the times of hits and of such misses in milliseconds.';
COMMENT ON COLUMN superset_ext.perf_cache_day.evictions IS 'Keys that the region''s server evicted; it does not say of which of its regions.';
COMMENT ON COLUMN superset_ext.perf_cache_day.memory_mib IS 'Most memory that the region''s server used in MiB, all of its regions together.';
COMMENT ON COLUMN superset_ext.perf_cache_day.hit_histogram IS 'Times of hits; merge these to have a percentile over several rows.';
COMMENT ON COLUMN superset_ext.perf_cache_day.miss_histogram IS 'Times of misses until they had their value, likewise.';
