-- What the cache servers say of themselves, the highest of each five minutes, the last eight days.

DROP VIEW IF EXISTS superset_ext.perf_memory;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_memory_recent, superset_ext.perf_memory_past;
DROP VIEW IF EXISTS superset_ext.perf_memory_live;

CREATE VIEW superset_ext.perf_memory_live AS
SELECT
    date_bin('5 minutes', s.at, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS at, s.region,
    max(s.memory_estimated) / 1048576.0::double precision AS memory_mib, max(s.entries) AS entries,
    sum(s.evictions)::bigint AS evictions, max(s.fragmentation) AS fragmentation, max(s.hit_p50) AS hit_p50_ms,
    max(s.hit_p95) AS hit_p95_ms, max(s.hit_p99) AS hit_p99_ms, max(s.connections) AS connections,
    bool_or(s.shared) AS is_estimated
FROM superset_ext.cache_sample AS s
GROUP BY 1, 2;

CREATE MATERIALIZED VIEW superset_ext.perf_memory_past AS
SELECT * FROM superset_ext.perf_memory_live
WHERE at >= date_bin('5 minutes', now() - interval '8 days', TIMESTAMPTZ '2000-01-01 00:00:00+00')
    AND at < (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE MATERIALIZED VIEW superset_ext.perf_memory_recent AS
SELECT * FROM superset_ext.perf_memory_live
WHERE at >= (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE UNIQUE INDEX perf_memory_past_key
    ON superset_ext.perf_memory_past (at, region);
CREATE UNIQUE INDEX perf_memory_recent_key
    ON superset_ext.perf_memory_recent (at, region);

CREATE VIEW superset_ext.perf_memory AS
SELECT * FROM superset_ext.perf_memory_past
UNION ALL
SELECT * FROM superset_ext.perf_memory_recent;

COMMENT ON VIEW superset_ext.perf_memory_live IS 'What perf_memory is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_memory_past IS 'perf_memory before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_memory_recent IS 'perf_memory since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_memory IS 'What the cache servers say of themselves by region and five minutes, the last eight days.';
COMMENT ON COLUMN superset_ext.perf_memory.at IS 'Begin of the five minutes.';
COMMENT ON COLUMN superset_ext.perf_memory.region IS 'Region.';
COMMENT ON COLUMN superset_ext.perf_memory.memory_mib IS 'Most memory of the region in MiB; see is_estimated.';
COMMENT ON COLUMN superset_ext.perf_memory.entries IS 'Most keys of the region.';
COMMENT ON COLUMN superset_ext.perf_memory.evictions IS 'Keys that the server evicted; in the row of one of its regions only.';
COMMENT ON COLUMN superset_ext.perf_memory.fragmentation IS 'Highest ratio of the memory that the system gave the server to the memory that it uses.';
COMMENT ON COLUMN superset_ext.perf_memory.hit_p50_ms IS 'Highest of the minutes'' medians of the times of hits in milliseconds.';
COMMENT ON COLUMN superset_ext.perf_memory.hit_p95_ms IS 'Highest of their 95th percentiles.';
COMMENT ON COLUMN superset_ext.perf_memory.hit_p99_ms IS 'Highest of their 99th percentiles.';
COMMENT ON COLUMN superset_ext.perf_memory.connections IS 'Most clients connected to the server.';
COMMENT ON COLUMN superset_ext.perf_memory.is_estimated IS 'Whether memory_mib is an estimate: the region''s share of a server that it shares.';
