-- The caches by hour and dashboard, the last eight days. Warming's own reads are left out.

DROP VIEW IF EXISTS superset_ext.perf_cache_hour;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_cache_hour_recent, superset_ext.perf_cache_hour_past;
DROP VIEW IF EXISTS superset_ext.perf_cache_hour_live;

CREATE VIEW superset_ext.perf_cache_hour_live AS
SELECT
    hour, cache_type, dashboard, hits + misses AS requests, hits, misses,
    hits::double precision / nullif(hits + misses, 0) AS hit_ratio, stale_hits, coalesced,
    saved_ms / 1000 AS saved_seconds,
    superset_ext.histogram_quantile(hit_histogram, 0.95) AS hit_p95_ms,
    superset_ext.histogram_quantile(miss_histogram, 0.95) AS miss_p95_ms,
    response_ms_sum / nullif(response_count, 0) AS response_ms, evictions,
    memory_peak / 1048576.0::double precision AS memory_mib, hit_histogram, miss_histogram
FROM (
    SELECT
        c.hour, c.cache_type, superset_ext.object_label('dashboard', c.dashboard_id, named.name) AS dashboard,
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
    FROM superset_ext.cache_hourly AS c
    LEFT JOIN superset_ext.object_name AS named
        ON named.kind = 'dashboard' AND named.id = c.dashboard_id
    GROUP BY 1, 2, 3
) AS counted;

CREATE MATERIALIZED VIEW superset_ext.perf_cache_hour_past AS
SELECT * FROM superset_ext.perf_cache_hour_live
WHERE hour >= date_trunc('hour', now(), 'UTC') - interval '8 days'
    AND hour < (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE MATERIALIZED VIEW superset_ext.perf_cache_hour_recent AS
SELECT * FROM superset_ext.perf_cache_hour_live
WHERE hour >= (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE UNIQUE INDEX perf_cache_hour_past_key
    ON superset_ext.perf_cache_hour_past (hour, cache_type, dashboard);
CREATE UNIQUE INDEX perf_cache_hour_recent_key
    ON superset_ext.perf_cache_hour_recent (hour, cache_type, dashboard);

CREATE VIEW superset_ext.perf_cache_hour AS
SELECT * FROM superset_ext.perf_cache_hour_past
UNION ALL
SELECT * FROM superset_ext.perf_cache_hour_recent;

COMMENT ON VIEW superset_ext.perf_cache_hour_live IS 'What perf_cache_hour is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_cache_hour_past IS 'perf_cache_hour before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_cache_hour_recent IS 'perf_cache_hour since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_cache_hour IS 'The caches by hour (UTC) and dashboard, the last eight days; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.hour IS 'Hour (UTC).';
COMMENT ON COLUMN superset_ext.perf_cache_hour.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.dashboard IS 'Dashboard, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.requests IS 'Reads of the cache: hits and misses.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.misses IS 'Reads that it did not answer.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.hit_ratio IS 'hits / requests, 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.stale_hits IS 'Of the hits: old answers, given while somebody refreshed them.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.coalesced IS 'Of the hits: waited for the same query of another caller.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.saved_seconds IS 'Seconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.hit_p95_ms IS '95th percentile of the times of hits in milliseconds, within 5 %.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.miss_p95_ms IS '95th percentile of the times of misses until they had their value, likewise.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.response_ms IS 'Mean of the times of hits and of such misses in milliseconds.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.evictions IS 'Keys that the region''s server evicted; it does not say of which of its regions.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.memory_mib IS 'Most memory that the region''s server used in MiB, all of its regions together.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.hit_histogram IS 'Times of hits; merge these to have a percentile over several rows.';
COMMENT ON COLUMN superset_ext.perf_cache_hour.miss_histogram IS 'Times of misses until they had their value, likewise.';
