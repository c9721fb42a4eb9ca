-- Samples of the cache servers and of the source databases, one a minute.

-- Redis counts evictions since its start, and every process and region of a server sees the same count. So the last
-- count is kept here, and only one process turns a difference into a row of the log.
CREATE TABLE IF NOT EXISTS superset_ext.cache_server_counter (
    server text PRIMARY KEY,
    evicted_keys bigint NOT NULL,
    sampled_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.cache_server_counter IS 'How much of the servers'' own counters cache_performance_log has already.';
COMMENT ON COLUMN superset_ext.cache_server_counter.server IS 'Host and port, as in the region''s URL; of a Sentinel also the service.';
COMMENT ON COLUMN superset_ext.cache_server_counter.evicted_keys IS 'Keys evicted since the server started, as last read.';
COMMENT ON COLUMN superset_ext.cache_server_counter.sampled_at IS 'When it was read.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_sample (
    at timestamptz NOT NULL,
    region text NOT NULL,
    server text NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    server_memory bigint,
    memory_estimated bigint,
    maxmemory bigint,
    entries bigint,
    evictions bigint NOT NULL DEFAULT 0,
    fragmentation double precision,
    connections integer,
    hit_p50 double precision,
    hit_p95 double precision,
    hit_p99 double precision,
    PRIMARY KEY (at, region)
);

COMMENT ON TABLE superset_ext.cache_sample IS 'One row a minute and region: what its server reports.';
COMMENT ON COLUMN superset_ext.cache_sample.at IS 'When the server was asked.';
COMMENT ON COLUMN superset_ext.cache_sample.region IS 'Region: metadata, query_results, chart_data, filter_state, explore_form_data or thumbnails.';
COMMENT ON COLUMN superset_ext.cache_sample.server IS 'Host and port, as in cache_server_counter.';
COMMENT ON COLUMN superset_ext.cache_sample.shared IS 'Whether other regions are on this server.';
COMMENT ON COLUMN superset_ext.cache_sample.server_memory IS 'Bytes that the server uses, all regions together.';
COMMENT ON COLUMN superset_ext.cache_sample.memory_estimated IS 'Bytes of this region: all of the server''s, or where regions share the server an estimate from the number of the region''s entries and their mean size.';
COMMENT ON COLUMN superset_ext.cache_sample.maxmemory IS 'Bytes that the server may use; NULL where there is no limit.';
COMMENT ON COLUMN superset_ext.cache_sample.entries IS 'Keys of the region.';
COMMENT ON COLUMN superset_ext.cache_sample.evictions IS 'Keys that the server evicted since the sample before; in the row of one of its regions only.';
COMMENT ON COLUMN superset_ext.cache_sample.fragmentation IS 'Memory that the system gave the server, divided by the memory that it uses.';
COMMENT ON COLUMN superset_ext.cache_sample.connections IS 'Clients connected to the server.';
COMMENT ON COLUMN superset_ext.cache_sample.hit_p50 IS 'Median of the milliseconds that hits took in the last 60 s; NULL where there were none.';
COMMENT ON COLUMN superset_ext.cache_sample.hit_p95 IS 'Their 95th percentile.';
COMMENT ON COLUMN superset_ext.cache_sample.hit_p99 IS 'Their 99th percentile.';

CREATE TABLE IF NOT EXISTS superset_ext.database_sample (
    at timestamptz NOT NULL,
    database_id integer NOT NULL,
    connections integer,
    running double precision,
    PRIMARY KEY (at, database_id)
);

COMMENT ON TABLE superset_ext.database_sample IS 'One row a minute and source database: how busy it is.';
COMMENT ON COLUMN superset_ext.database_sample.at IS 'When it was asked.';
COMMENT ON COLUMN superset_ext.database_sample.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.database_sample.connections IS 'Its connections; NULL where it does not report them.';
COMMENT ON COLUMN superset_ext.database_sample.running IS 'Queries under way: as the database reports, or else their mean number, from the durations in the log.';
