-- What the dashboards, alerts and tuning stand on: the log of queries, samples, rollups, rules and what they found.

-- Which transaction wrote a row, so that each is folded into the rollups exactly once, however late it came. The default
-- is stable: rows that are there get the number of this transaction without being written anew.
ALTER TABLE superset_ext.cache_performance_log
    ADD COLUMN IF NOT EXISTS written bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);

CREATE INDEX IF NOT EXISTS cache_performance_log_written ON superset_ext.cache_performance_log (written);

COMMENT ON COLUMN superset_ext.cache_performance_log.written IS 'The transaction that wrote the row; see rollup_state.';

CREATE TABLE IF NOT EXISTS superset_ext.query_performance_log (
    created_at timestamptz NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    source text NOT NULL CHECK (source IN ('chart', 'sqllab')),
    channel text,
    database_id integer,
    dataset_id integer,
    chart_id integer,
    dashboard_id integer,
    user_id integer,
    fingerprint text,
    duration_ms double precision NOT NULL,
    rows bigint,
    error text,
    written bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)
) PARTITION BY RANGE (created_at);

CREATE INDEX IF NOT EXISTS query_performance_log_created_at ON superset_ext.query_performance_log (created_at);
CREATE INDEX IF NOT EXISTS query_performance_log_written ON superset_ext.query_performance_log (written);

COMMENT ON TABLE superset_ext.query_performance_log IS 'One row a query that Superset sent to a source database, by day partitions.';
COMMENT ON COLUMN superset_ext.query_performance_log.created_at IS 'End of the query, by the clock of this database.';
COMMENT ON COLUMN superset_ext.query_performance_log.host IS 'Host name of the process that sent it.';
COMMENT ON COLUMN superset_ext.query_performance_log.pid IS 'That process.';
COMMENT ON COLUMN superset_ext.query_performance_log.source IS 'chart: a chart, filter or anything else that asks a dataset; sqllab: SQL Lab.';
COMMENT ON COLUMN superset_ext.query_performance_log.channel IS 'Channel that asked: web, embedded, celery, report, cli or warm; NULL where none is known.';
COMMENT ON COLUMN superset_ext.query_performance_log.database_id IS 'Superset''s database; NULL where none is known.';
COMMENT ON COLUMN superset_ext.query_performance_log.dataset_id IS 'Superset''s dataset; NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.chart_id IS 'Superset''s chart (slice); NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.dashboard_id IS 'Superset''s dashboard; NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.user_id IS 'Superset''s user; NULL for a guest or nobody.';
COMMENT ON COLUMN superset_ext.query_performance_log.fingerprint IS 'Hash of the statement without its literals, of query_fingerprint; NULL where there is no statement.';
COMMENT ON COLUMN superset_ext.query_performance_log.duration_ms IS 'Milliseconds from sending it to having its rows.';
COMMENT ON COLUMN superset_ext.query_performance_log.rows IS 'Rows that it returned; NULL where it failed or nobody counted.';
COMMENT ON COLUMN superset_ext.query_performance_log.error IS 'Class of the error; NULL where it succeeded.';
COMMENT ON COLUMN superset_ext.query_performance_log.written IS 'The transaction that wrote the row; see rollup_state.';

SELECT superset_ext.create_day_partition('query_performance_log', superset_ext.utc_today() + ahead)
FROM generate_series(0, 1) AS ahead;

CREATE TABLE IF NOT EXISTS superset_ext.query_fingerprint (
    fingerprint text PRIMARY KEY,
    database_id integer,
    sql text NOT NULL CHECK (length(sql) <= 10000),
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS query_fingerprint_last_seen ON superset_ext.query_fingerprint (last_seen);

COMMENT ON TABLE superset_ext.query_fingerprint IS 'One row a statement, its literals aside.';
COMMENT ON COLUMN superset_ext.query_fingerprint.fingerprint IS 'Hash of the database and the statement.';
COMMENT ON COLUMN superset_ext.query_fingerprint.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.query_fingerprint.sql IS 'The statement with ? for each literal, cut at 10,000 characters.';
COMMENT ON COLUMN superset_ext.query_fingerprint.first_seen IS 'When it was first sent.';
COMMENT ON COLUMN superset_ext.query_fingerprint.last_seen IS 'When it was last sent, to the day at least.';

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

COMMENT ON TABLE superset_ext.cache_sample IS 'One row a minute and region: what its server says of itself.';
COMMENT ON COLUMN superset_ext.cache_sample.at IS 'When it was asked.';
COMMENT ON COLUMN superset_ext.cache_sample.region IS 'Region: metadata, query_results, chart_data, filter_state, explore_form_data or thumbnails.';
COMMENT ON COLUMN superset_ext.cache_sample.server IS 'Host and port, as in cache_server_counter.';
COMMENT ON COLUMN superset_ext.cache_sample.shared IS 'Whether other regions are on this server.';
COMMENT ON COLUMN superset_ext.cache_sample.server_memory IS 'Bytes that the server uses, all regions together.';
COMMENT ON COLUMN superset_ext.cache_sample.memory_estimated IS 'Bytes of this region: where the server is shared, its share by entries and their mean size, an estimate; else the server''s own.';
COMMENT ON COLUMN superset_ext.cache_sample.maxmemory IS 'Bytes that the server may use; NULL where there is no limit.';
COMMENT ON COLUMN superset_ext.cache_sample.entries IS 'Keys of the region.';
COMMENT ON COLUMN superset_ext.cache_sample.evictions IS 'Keys that the server evicted since the sample before; in the row of one of its regions only.';
COMMENT ON COLUMN superset_ext.cache_sample.fragmentation IS 'Memory that the system gave the server, over the memory that it uses.';
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

COMMENT ON TABLE superset_ext.database_sample IS 'One row a minute and source database: how busy Superset finds it.';
COMMENT ON COLUMN superset_ext.database_sample.at IS 'When it was asked.';
COMMENT ON COLUMN superset_ext.database_sample.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.database_sample.connections IS 'Its connections; NULL where it cannot say.';
COMMENT ON COLUMN superset_ext.database_sample.running IS 'Queries under way: as it says, or the mean number by the time that queries took, of the log.';

CREATE TABLE IF NOT EXISTS superset_ext.object_name (
    kind text NOT NULL CHECK (kind IN ('dashboard', 'chart', 'dataset', 'database')),
    id integer NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (kind, id)
);

COMMENT ON TABLE superset_ext.object_name IS 'What Superset calls its objects, brought here at each refresh.';
COMMENT ON COLUMN superset_ext.object_name.kind IS 'dashboard, chart, dataset or database.';
COMMENT ON COLUMN superset_ext.object_name.id IS 'Superset''s id of it.';
COMMENT ON COLUMN superset_ext.object_name.name IS 'Its title or name.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_hourly (
    hour timestamptz NOT NULL,
    cache_type text NOT NULL,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    channel text NOT NULL DEFAULT '',
    hits bigint NOT NULL DEFAULT 0,
    stale_hits bigint NOT NULL DEFAULT 0,
    coalesced bigint NOT NULL DEFAULT 0,
    misses bigint NOT NULL DEFAULT 0,
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
    saved_ms double precision NOT NULL DEFAULT 0,
    hit_histogram bigint[],
    miss_histogram bigint[],
    evictions bigint NOT NULL DEFAULT 0,
    memory_peak bigint,
    PRIMARY KEY (hour, cache_type, dashboard_id, chart_id, dataset_id, channel)
);

COMMENT ON TABLE superset_ext.cache_hourly IS 'cache_performance_log by UTC hour: what fold_cache made of it.';
COMMENT ON COLUMN superset_ext.cache_hourly.hour IS 'UTC hour of created_at.';
COMMENT ON COLUMN superset_ext.cache_hourly.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.cache_hourly.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.dashboard_id IS 'Superset''s dashboard; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_hourly.channel IS 'Channel that asked; empty where none is known.';
COMMENT ON COLUMN superset_ext.cache_hourly.hits IS 'Sum of cache_hits.';
COMMENT ON COLUMN superset_ext.cache_hourly.stale_hits IS 'Sum of stale_hits.';
COMMENT ON COLUMN superset_ext.cache_hourly.coalesced IS 'Sum of coalesced.';
COMMENT ON COLUMN superset_ext.cache_hourly.misses IS 'Sum of cache_misses.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_cold IS 'Sum of miss_cold.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_expired IS 'Sum of miss_expired.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_invalidated IS 'Sum of miss_invalidated.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_evicted IS 'Sum of miss_evicted.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_forced IS 'Sum of miss_forced.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_disabled IS 'Sum of miss_disabled.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_rejected IS 'Sum of miss_rejected.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_unknown_format IS 'Sum of miss_unknown_format.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_bad_signature IS 'Sum of miss_bad_signature.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_error IS 'Sum of miss_error.';
COMMENT ON COLUMN superset_ext.cache_hourly.sets IS 'Sum of sets.';
COMMENT ON COLUMN superset_ext.cache_hourly.sets_too_large IS 'Sum of sets_too_large.';
COMMENT ON COLUMN superset_ext.cache_hourly.sets_refused IS 'Sum of sets_refused.';
COMMENT ON COLUMN superset_ext.cache_hourly.sets_memory IS 'Sum of sets_memory.';
COMMENT ON COLUMN superset_ext.cache_hourly.sets_superseded IS 'Sum of sets_superseded.';
COMMENT ON COLUMN superset_ext.cache_hourly.errors IS 'Sum of errors.';
COMMENT ON COLUMN superset_ext.cache_hourly.bytes_read IS 'Sum of bytes_read.';
COMMENT ON COLUMN superset_ext.cache_hourly.bytes_written IS 'Sum of bytes_written.';
COMMENT ON COLUMN superset_ext.cache_hourly.response_count IS 'Sum of response_count.';
COMMENT ON COLUMN superset_ext.cache_hourly.response_ms_sum IS 'Sum of response_ms_sum, in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_hourly.saved_ms IS 'Sum of saved_ms, in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_hourly.hit_histogram IS 'Times of the hits, merged; NULL where there are none.';
COMMENT ON COLUMN superset_ext.cache_hourly.miss_histogram IS 'Times of the misses that ended in a value, merged.';
COMMENT ON COLUMN superset_ext.cache_hourly.evictions IS 'Sum of evictions, which are the server''s.';
COMMENT ON COLUMN superset_ext.cache_hourly.memory_peak IS 'Highest memory_usage, in bytes, which is the server''s.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_daily (
    day date NOT NULL,
    cache_type text NOT NULL,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    channel text NOT NULL DEFAULT '',
    hits bigint NOT NULL DEFAULT 0,
    stale_hits bigint NOT NULL DEFAULT 0,
    coalesced bigint NOT NULL DEFAULT 0,
    misses bigint NOT NULL DEFAULT 0,
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
    saved_ms double precision NOT NULL DEFAULT 0,
    hit_histogram bigint[],
    miss_histogram bigint[],
    evictions bigint NOT NULL DEFAULT 0,
    memory_peak bigint,
    PRIMARY KEY (day, cache_type, dashboard_id, chart_id, dataset_id, channel)
);

COMMENT ON TABLE superset_ext.cache_daily IS 'cache_performance_log by UTC day: what fold_cache made of it.';
COMMENT ON COLUMN superset_ext.cache_daily.day IS 'UTC day of created_at.';
COMMENT ON COLUMN superset_ext.cache_daily.cache_type IS 'Region.';
COMMENT ON COLUMN superset_ext.cache_daily.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_daily.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_daily.dashboard_id IS 'Superset''s dashboard; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_daily.channel IS 'Channel that asked; empty where none is known.';
COMMENT ON COLUMN superset_ext.cache_daily.hits IS 'Sum of cache_hits.';
COMMENT ON COLUMN superset_ext.cache_daily.stale_hits IS 'Sum of stale_hits.';
COMMENT ON COLUMN superset_ext.cache_daily.coalesced IS 'Sum of coalesced.';
COMMENT ON COLUMN superset_ext.cache_daily.misses IS 'Sum of cache_misses.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_cold IS 'Sum of miss_cold.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_expired IS 'Sum of miss_expired.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_invalidated IS 'Sum of miss_invalidated.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_evicted IS 'Sum of miss_evicted.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_forced IS 'Sum of miss_forced.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_disabled IS 'Sum of miss_disabled.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_rejected IS 'Sum of miss_rejected.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_unknown_format IS 'Sum of miss_unknown_format.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_bad_signature IS 'Sum of miss_bad_signature.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_error IS 'Sum of miss_error.';
COMMENT ON COLUMN superset_ext.cache_daily.sets IS 'Sum of sets.';
COMMENT ON COLUMN superset_ext.cache_daily.sets_too_large IS 'Sum of sets_too_large.';
COMMENT ON COLUMN superset_ext.cache_daily.sets_refused IS 'Sum of sets_refused.';
COMMENT ON COLUMN superset_ext.cache_daily.sets_memory IS 'Sum of sets_memory.';
COMMENT ON COLUMN superset_ext.cache_daily.sets_superseded IS 'Sum of sets_superseded.';
COMMENT ON COLUMN superset_ext.cache_daily.errors IS 'Sum of errors.';
COMMENT ON COLUMN superset_ext.cache_daily.bytes_read IS 'Sum of bytes_read.';
COMMENT ON COLUMN superset_ext.cache_daily.bytes_written IS 'Sum of bytes_written.';
COMMENT ON COLUMN superset_ext.cache_daily.response_count IS 'Sum of response_count.';
COMMENT ON COLUMN superset_ext.cache_daily.response_ms_sum IS 'Sum of response_ms_sum, in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_daily.saved_ms IS 'Sum of saved_ms, in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_daily.hit_histogram IS 'Times of the hits, merged; NULL where there are none.';
COMMENT ON COLUMN superset_ext.cache_daily.miss_histogram IS 'Times of the misses that ended in a value, merged.';
COMMENT ON COLUMN superset_ext.cache_daily.evictions IS 'Sum of evictions, which are the server''s.';
COMMENT ON COLUMN superset_ext.cache_daily.memory_peak IS 'Highest memory_usage, in bytes, which is the server''s.';

CREATE TABLE IF NOT EXISTS superset_ext.query_hourly (
    hour timestamptz NOT NULL,
    source text NOT NULL,
    channel text NOT NULL DEFAULT '',
    database_id integer NOT NULL DEFAULT 0,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    runs bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    slow bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    duration_ms_sum double precision NOT NULL DEFAULT 0,
    duration_ms_max double precision NOT NULL DEFAULT 0,
    histogram bigint[],
    PRIMARY KEY (hour, source, channel, database_id, dataset_id, chart_id, dashboard_id)
);

COMMENT ON TABLE superset_ext.query_hourly IS 'query_performance_log by UTC hour: what fold_query made of it.';
COMMENT ON COLUMN superset_ext.query_hourly.hour IS 'UTC hour of created_at.';
COMMENT ON COLUMN superset_ext.query_hourly.source IS 'chart or sqllab.';
COMMENT ON COLUMN superset_ext.query_hourly.channel IS 'Channel that asked; empty where none is known.';
COMMENT ON COLUMN superset_ext.query_hourly.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.dashboard_id IS 'Superset''s dashboard; 0 for none.';
COMMENT ON COLUMN superset_ext.query_hourly.runs IS 'Queries.';
COMMENT ON COLUMN superset_ext.query_hourly.errors IS 'Those that failed.';
COMMENT ON COLUMN superset_ext.query_hourly.slow IS 'Those that took the setting of slow queries or longer, as it was when they were folded.';
COMMENT ON COLUMN superset_ext.query_hourly.rows IS 'Rows that they returned.';
COMMENT ON COLUMN superset_ext.query_hourly.duration_ms_sum IS 'Sum of their milliseconds.';
COMMENT ON COLUMN superset_ext.query_hourly.duration_ms_max IS 'The longest of them.';
COMMENT ON COLUMN superset_ext.query_hourly.histogram IS 'Their times, merged.';

CREATE TABLE IF NOT EXISTS superset_ext.query_daily (
    day date NOT NULL,
    fingerprint text NOT NULL DEFAULT '',
    database_id integer NOT NULL DEFAULT 0,
    dataset_id integer NOT NULL DEFAULT 0,
    chart_id integer NOT NULL DEFAULT 0,
    dashboard_id integer NOT NULL DEFAULT 0,
    runs bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    slow bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    duration_ms_sum double precision NOT NULL DEFAULT 0,
    duration_ms_max double precision NOT NULL DEFAULT 0,
    histogram bigint[],
    PRIMARY KEY (day, fingerprint, database_id, dataset_id, chart_id, dashboard_id)
);

COMMENT ON TABLE superset_ext.query_daily IS 'query_performance_log by UTC day and statement: what fold_query made of it.';
COMMENT ON COLUMN superset_ext.query_daily.day IS 'UTC day of created_at.';
COMMENT ON COLUMN superset_ext.query_daily.fingerprint IS 'The statement, of query_fingerprint; empty for none.';
COMMENT ON COLUMN superset_ext.query_daily.database_id IS 'Superset''s database; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.chart_id IS 'Superset''s chart; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.dashboard_id IS 'Superset''s dashboard; 0 for none.';
COMMENT ON COLUMN superset_ext.query_daily.runs IS 'Queries.';
COMMENT ON COLUMN superset_ext.query_daily.errors IS 'Those that failed.';
COMMENT ON COLUMN superset_ext.query_daily.slow IS 'Those that took the setting of slow queries or longer, as it was when they were folded.';
COMMENT ON COLUMN superset_ext.query_daily.rows IS 'Rows that they returned.';
COMMENT ON COLUMN superset_ext.query_daily.duration_ms_sum IS 'Sum of their milliseconds.';
COMMENT ON COLUMN superset_ext.query_daily.duration_ms_max IS 'The longest of them.';
COMMENT ON COLUMN superset_ext.query_daily.histogram IS 'Their times, merged.';

CREATE TABLE IF NOT EXISTS superset_ext.rollup_state (
    name text PRIMARY KEY,
    folded bigint NOT NULL DEFAULT 0,
    open bigint[] NOT NULL DEFAULT '{}',
    cluster text NOT NULL DEFAULT '',
    folded_at timestamptz,
    rows bigint NOT NULL DEFAULT 0,
    past_at timestamptz
);

COMMENT ON TABLE superset_ext.rollup_state IS 'How far the rollups are: each row of a log is in them once its transaction is below `folded` and not in `open`.';
COMMENT ON COLUMN superset_ext.rollup_state.name IS 'cache or query.';
COMMENT ON COLUMN superset_ext.rollup_state.folded IS 'The first transaction that had not begun at the last fold.';
COMMENT ON COLUMN superset_ext.rollup_state.open IS 'Those before it that were still under way; what they write counts when they have ended.';
COMMENT ON COLUMN superset_ext.rollup_state.cluster IS 'The server''s own identifier: transactions of another one, whose dump this is, are numbered otherwise.';
COMMENT ON COLUMN superset_ext.rollup_state.folded_at IS 'When that was; NULL for never.';
COMMENT ON COLUMN superset_ext.rollup_state.rows IS 'Rows of the log folded ever.';
COMMENT ON COLUMN superset_ext.rollup_state.past_at IS 'When a row of a day before yesterday was last folded.';

INSERT INTO superset_ext.rollup_state (name) VALUES ('cache'), ('query') ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS superset_ext.view_version (
    file text PRIMARY KEY,
    checksum text NOT NULL,
    materialized boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.view_version IS 'The files of sql/views as they were last made.';
COMMENT ON COLUMN superset_ext.view_version.file IS 'Name of the file.';
COMMENT ON COLUMN superset_ext.view_version.checksum IS 'SHA-256 of its bytes, in hex; where it differs, the view is made again.';
COMMENT ON COLUMN superset_ext.view_version.materialized IS 'Whether it is to be refreshed.';
COMMENT ON COLUMN superset_ext.view_version.applied_at IS 'When it was made.';

CREATE TABLE IF NOT EXISTS superset_ext.view_refresh (
    view text PRIMARY KEY,
    refreshed_at timestamptz,
    seconds double precision,
    rows bigint,
    error text,
    failed_since timestamptz,
    past text
);

COMMENT ON TABLE superset_ext.view_refresh IS 'One row a view: how its last refresh went.';
COMMENT ON COLUMN superset_ext.view_refresh.view IS 'The view.';
COMMENT ON COLUMN superset_ext.view_refresh.refreshed_at IS 'As of when its numbers are: the begin of its last refresh that succeeded.';
COMMENT ON COLUMN superset_ext.view_refresh.seconds IS 'Seconds that this took.';
COMMENT ON COLUMN superset_ext.view_refresh.rows IS 'Rows that the view has.';
COMMENT ON COLUMN superset_ext.view_refresh.error IS 'Why the last refresh failed; NULL where it did not.';
COMMENT ON COLUMN superset_ext.view_refresh.failed_since IS 'Since when it fails; NULL where it does not.';
COMMENT ON COLUMN superset_ext.view_refresh.past IS 'What the days before yesterday were made from, of a view that keeps them apart; NULL: they are to be made anew.';

CREATE TABLE IF NOT EXISTS superset_ext.performance_alert_rule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    metric_type text NOT NULL,
    threshold_value double precision NOT NULL,
    comparison_operator text NOT NULL CHECK (comparison_operator IN ('>', '>=', '<', '<=')),
    clear_value double precision,
    window_minutes integer NOT NULL CHECK (window_minutes > 0),
    min_occurrences integer NOT NULL DEFAULT 1 CHECK (min_occurrences > 0),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    cooldown_minutes integer NOT NULL DEFAULT 0 CHECK (cooldown_minutes >= 0),
    enabled boolean NOT NULL DEFAULT true,
    builtin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.performance_alert_rule IS 'What to tell people of.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.id IS 'The rule.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.name IS 'What people call it.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.metric_type IS 'What is measured.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.threshold_value IS 'What it is compared with, in the metric''s own unit.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.comparison_operator IS 'The rule holds where the metric is on this side of the threshold.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.clear_value IS 'An alert ends once the metric is on the other side of this; NULL for the threshold itself.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.window_minutes IS 'Minutes over which it is measured.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.min_occurrences IS 'Requests, queries or samples in the window below which nothing is said; see the metric.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.severity IS 'info, warning or critical.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.cooldown_minutes IS 'Minutes after an alert''s end before the next one of the same subject.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.enabled IS 'Whether it is watched.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.builtin IS 'Whether it came with the package.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.created_at IS 'When it was made.';

CREATE TABLE IF NOT EXISTS superset_ext.performance_alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL REFERENCES superset_ext.performance_alert_rule ON DELETE CASCADE,
    subject text NOT NULL DEFAULT '',
    fired_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    value double precision,
    worst double precision,
    confidence double precision,
    said text NOT NULL DEFAULT '',
    notified_at timestamptz,
    resolved_notified_at timestamptz,
    error text
);

-- However many processes look, one alert of a kind lasts at a time.
CREATE UNIQUE INDEX IF NOT EXISTS performance_alert_open ON superset_ext.performance_alert (rule_id, subject)
    WHERE resolved_at IS NULL;
CREATE INDEX IF NOT EXISTS performance_alert_fired_at ON superset_ext.performance_alert (fired_at);

COMMENT ON TABLE superset_ext.performance_alert IS 'One row an alert, from its begin to its end.';
COMMENT ON COLUMN superset_ext.performance_alert.id IS 'The alert.';
COMMENT ON COLUMN superset_ext.performance_alert.rule_id IS 'Its rule.';
COMMENT ON COLUMN superset_ext.performance_alert.subject IS 'What it is of: a region, database, view or schedule; empty where the rule has no such.';
COMMENT ON COLUMN superset_ext.performance_alert.fired_at IS 'When it began.';
COMMENT ON COLUMN superset_ext.performance_alert.resolved_at IS 'When it ended; NULL while it lasts.';
COMMENT ON COLUMN superset_ext.performance_alert.value IS 'The metric when it began.';
COMMENT ON COLUMN superset_ext.performance_alert.worst IS 'The metric at its worst.';
COMMENT ON COLUMN superset_ext.performance_alert.confidence IS '0 to 1, of an anomaly; NULL for a threshold.';
COMMENT ON COLUMN superset_ext.performance_alert.said IS 'The line that people were told.';
COMMENT ON COLUMN superset_ext.performance_alert.notified_at IS 'When they were told that it began; NULL for not yet.';
COMMENT ON COLUMN superset_ext.performance_alert.resolved_notified_at IS 'When they were told that it ended.';
COMMENT ON COLUMN superset_ext.performance_alert.error IS 'Why they could not be told.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_tuning_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    subject text NOT NULL,
    setting text NOT NULL CHECK (setting IN ('timeout', 'grace')),
    old_value double precision,
    new_value double precision NOT NULL,
    reason text NOT NULL,
    saved_before double precision,
    saved_after double precision,
    state text NOT NULL DEFAULT 'trial' CHECK (state IN ('trial', 'kept', 'reverted')),
    decided_at timestamptz
);

CREATE INDEX IF NOT EXISTS cache_tuning_log_created_at ON superset_ext.cache_tuning_log (created_at);

COMMENT ON TABLE superset_ext.cache_tuning_log IS 'One row a step that tuning took, and what became of it.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.id IS 'The step.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.created_at IS 'When it was taken.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.subject IS 'What was set, as dataset:12.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.setting IS 'timeout or grace.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.old_value IS 'Seconds before; NULL where none were set.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.new_value IS 'Seconds after.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.reason IS 'Why.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.saved_before IS 'Database seconds saved in the window before.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.saved_after IS 'Database seconds saved in the window after; NULL while that lasts.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.state IS 'trial while it is measured, then kept or reverted.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.decided_at IS 'When that was decided.';

CREATE TABLE IF NOT EXISTS superset_ext.setting_override (
    subject text NOT NULL,
    setting text NOT NULL,
    value double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, setting)
);

COMMENT ON TABLE superset_ext.setting_override IS 'What tuning has set.';
COMMENT ON COLUMN superset_ext.setting_override.subject IS 'What it is set for, as dataset:12.';
COMMENT ON COLUMN superset_ext.setting_override.setting IS 'timeout or grace.';
COMMENT ON COLUMN superset_ext.setting_override.value IS 'Seconds.';
COMMENT ON COLUMN superset_ext.setting_override.at IS 'Since when.';
