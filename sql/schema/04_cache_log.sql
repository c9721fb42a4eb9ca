-- The log of the caches. Its counts are listed here once; 07_rollups.sql adds up whatever counts this table has.

CREATE TABLE IF NOT EXISTS superset_ext.cache_performance_log (
    created_at timestamptz NOT NULL,
    window_seconds double precision NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    batch uuid NOT NULL,
    transaction_id bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    cache_type text NOT NULL,
    dataset_id integer,
    chart_id integer,
    dashboard_id integer,
    channel text,
    cache_hits bigint NOT NULL DEFAULT 0,
    stale_hits bigint NOT NULL DEFAULT 0,
    coalesced bigint NOT NULL DEFAULT 0,
    cache_misses bigint NOT NULL DEFAULT 0,
    miss_cold bigint NOT NULL DEFAULT 0,
    miss_expired bigint NOT NULL DEFAULT 0,
    miss_invalidated bigint NOT NULL DEFAULT 0,
    miss_evicted bigint NOT NULL DEFAULT 0,
    miss_forced bigint NOT NULL DEFAULT 0,
    miss_disabled bigint NOT NULL DEFAULT 0,
    miss_rejected bigint NOT NULL DEFAULT 0,
    miss_unknown_format bigint NOT NULL DEFAULT 0,
    miss_bad_signature bigint NOT NULL DEFAULT 0,
    miss_error bigint NOT NULL DEFAULT 0,
    sets bigint NOT NULL DEFAULT 0,
    sets_too_large bigint NOT NULL DEFAULT 0,
    sets_refused bigint NOT NULL DEFAULT 0,
    sets_memory bigint NOT NULL DEFAULT 0,
    sets_superseded bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    bytes_read bigint NOT NULL DEFAULT 0,
    bytes_written bigint NOT NULL DEFAULT 0,
    response_count bigint NOT NULL DEFAULT 0,
    response_ms_sum double precision NOT NULL DEFAULT 0,
    hit_histogram bigint[],
    miss_histogram bigint[],
    saved_ms double precision NOT NULL DEFAULT 0,
    memory_usage bigint,
    evictions bigint NOT NULL DEFAULT 0,
    hit_ratio double precision GENERATED ALWAYS AS (
        cache_hits::double precision / NULLIF(cache_hits + cache_misses, 0)
    ) STORED,
    response_time double precision GENERATED ALWAYS AS (
        response_ms_sum / NULLIF(response_count, 0)
    ) STORED
) PARTITION BY RANGE (created_at);

CREATE INDEX IF NOT EXISTS cache_performance_log_created_at ON superset_ext.cache_performance_log (created_at);
CREATE INDEX IF NOT EXISTS cache_performance_log_transaction_id ON superset_ext.cache_performance_log (transaction_id);

COMMENT ON TABLE superset_ext.cache_performance_log IS 'Counts of an interval of one process, by region, dataset, chart, dashboard and channel. Requests are cache_hits + cache_misses; the number of rows means nothing.';
COMMENT ON COLUMN superset_ext.cache_performance_log.created_at IS 'End of the interval, by the clock of this database. A day in DATE(created_at) is one of the session''s time zone.';
COMMENT ON COLUMN superset_ext.cache_performance_log.window_seconds IS 'Length of the interval in seconds; longer than the flush interval after the log database was away.';
COMMENT ON COLUMN superset_ext.cache_performance_log.host IS 'Host name of the process that counted.';
COMMENT ON COLUMN superset_ext.cache_performance_log.pid IS 'Process that counted.';
COMMENT ON COLUMN superset_ext.cache_performance_log.batch IS 'One flush of one process; it marks a flush whose commit was in doubt, so that it is not written twice.';
COMMENT ON COLUMN superset_ext.cache_performance_log.transaction_id IS 'The transaction that wrote the row; see rollup_state.';
COMMENT ON COLUMN superset_ext.cache_performance_log.cache_type IS 'Region: metadata, query_results, chart_data, filter_state, explore_form_data or thumbnails.';
COMMENT ON COLUMN superset_ext.cache_performance_log.dataset_id IS 'Superset''s dataset; NULL where none is known, or where the row sums up several because the process had too many.';
COMMENT ON COLUMN superset_ext.cache_performance_log.chart_id IS 'Superset''s chart (slice); NULL as above.';
COMMENT ON COLUMN superset_ext.cache_performance_log.dashboard_id IS 'Superset''s dashboard; NULL as above.';
COMMENT ON COLUMN superset_ext.cache_performance_log.channel IS 'Where the request came from: web, embedded, celery, report, cli or warm; NULL as above.';
COMMENT ON COLUMN superset_ext.cache_performance_log.cache_hits IS 'Reads answered from the cache.';
COMMENT ON COLUMN superset_ext.cache_performance_log.stale_hits IS 'Of the hits: an answer past its time, given while somebody refreshed it.';
COMMENT ON COLUMN superset_ext.cache_performance_log.coalesced IS 'Of the hits: waited for the same query of another caller.';
COMMENT ON COLUMN superset_ext.cache_performance_log.cache_misses IS 'Reads that the cache did not answer: the sum of the miss_ columns.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_cold IS 'Misses: never stored, as far as is remembered.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_expired IS 'Misses: the entry''s time was over.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_invalidated IS 'Misses: what the entry was read from has changed since.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_evicted IS 'Misses: gone before its time.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_forced IS 'Misses: the user asked for fresh data.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_disabled IS 'Misses: the chart or dataset is not to be cached.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_rejected IS 'Misses: an entry was there, and Superset ran the query all the same.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_unknown_format IS 'Misses: an entry of another version, or damaged.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_bad_signature IS 'Misses: an entry that no holder of the secret key wrote. A security event.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_error IS 'Misses: Redis did not answer in time, refused, or was not asked because the circuit was open.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets IS 'Values stored.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets_too_large IS 'Values not stored: over the cap of bytes or rows.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets_refused IS 'Values not stored: of a kind that may not be.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets_memory IS 'Values not stored: the server''s memory is full.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets_superseded IS 'Values not stored: one that was read later is there already.';
COMMENT ON COLUMN superset_ext.cache_performance_log.errors IS 'Reads and writes that failed; the reads are in miss_error too.';
COMMENT ON COLUMN superset_ext.cache_performance_log.bytes_read IS 'Stored bytes read.';
COMMENT ON COLUMN superset_ext.cache_performance_log.bytes_written IS 'Stored bytes written.';
COMMENT ON COLUMN superset_ext.cache_performance_log.response_count IS 'Hits, and misses that ended in a value: the requests that response_time is the mean of.';
COMMENT ON COLUMN superset_ext.cache_performance_log.response_ms_sum IS 'Sum of their times in milliseconds. The mean over rows is SUM(response_ms_sum) / SUM(response_count).';
COMMENT ON COLUMN superset_ext.cache_performance_log.hit_histogram IS 'Times that the cache took for hits; see histogram_quantile and histogram_merge. NULL where there were none.';
COMMENT ON COLUMN superset_ext.cache_performance_log.miss_histogram IS 'Times from the read that missed until the value was there to be stored. NULL where there were none.';
COMMENT ON COLUMN superset_ext.cache_performance_log.saved_ms IS 'Milliseconds that the answers of the hits had cost to compute.';
COMMENT ON COLUMN superset_ext.cache_performance_log.memory_usage IS 'Bytes that the region''s server used at the flush, all of its databases together; NULL where it was not asked or did not answer.';
COMMENT ON COLUMN superset_ext.cache_performance_log.evictions IS 'Keys that the server evicted since the log last recorded it. Each is in one row only, over all processes and over the regions that share a server, so that SUM(evictions) is right; the server does not say which region they were of.';
COMMENT ON COLUMN superset_ext.cache_performance_log.hit_ratio IS 'cache_hits / (cache_hits + cache_misses), 0 to 1; NULL where there was no read.';
COMMENT ON COLUMN superset_ext.cache_performance_log.response_time IS 'Mean time of hits, and of misses until they had their value, in milliseconds; NULL where there was neither.';
