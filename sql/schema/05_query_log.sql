-- The log of the queries that Superset sends to source databases.

CREATE TABLE IF NOT EXISTS superset_ext.query_performance_log (
    created_at timestamptz NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    transaction_id bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
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
    error text
) PARTITION BY RANGE (created_at);

CREATE INDEX IF NOT EXISTS query_performance_log_created_at ON superset_ext.query_performance_log (created_at);
CREATE INDEX IF NOT EXISTS query_performance_log_transaction_id ON superset_ext.query_performance_log (transaction_id);

COMMENT ON TABLE superset_ext.query_performance_log IS 'One row a query that Superset sent to a source database, by day partitions.';
COMMENT ON COLUMN superset_ext.query_performance_log.created_at IS 'End of the query, by the clock of this database.';
COMMENT ON COLUMN superset_ext.query_performance_log.host IS 'Host name of the process that sent it.';
COMMENT ON COLUMN superset_ext.query_performance_log.pid IS 'That process.';
COMMENT ON COLUMN superset_ext.query_performance_log.transaction_id IS 'The transaction that wrote the row; see rollup_state.';
COMMENT ON COLUMN superset_ext.query_performance_log.source IS 'chart: a chart, a filter or anything else that asks a dataset; sqllab: SQL Lab.';
COMMENT ON COLUMN superset_ext.query_performance_log.channel IS 'Where the request came from: web, embedded, celery, report, cli or warm; NULL where none is known.';
COMMENT ON COLUMN superset_ext.query_performance_log.database_id IS 'Superset''s database; NULL where none is known.';
COMMENT ON COLUMN superset_ext.query_performance_log.dataset_id IS 'Superset''s dataset; NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.chart_id IS 'Superset''s chart (slice); NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.dashboard_id IS 'Superset''s dashboard; NULL as above.';
COMMENT ON COLUMN superset_ext.query_performance_log.user_id IS 'Superset''s user; NULL for a guest or nobody.';
COMMENT ON COLUMN superset_ext.query_performance_log.fingerprint IS 'Hash of the statement without its literals, of query_fingerprint; NULL where there is no statement.';
COMMENT ON COLUMN superset_ext.query_performance_log.duration_ms IS 'Milliseconds from sending it to having its rows.';
COMMENT ON COLUMN superset_ext.query_performance_log.rows IS 'Rows that it returned; NULL where it failed or the number is unknown.';
COMMENT ON COLUMN superset_ext.query_performance_log.error IS 'Class of the error; NULL where it succeeded.';

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

COMMENT ON TABLE superset_ext.query_fingerprint IS 'One row a statement without its literals.';
COMMENT ON COLUMN superset_ext.query_fingerprint.fingerprint IS 'Hash of the database and the statement.';
COMMENT ON COLUMN superset_ext.query_fingerprint.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.query_fingerprint.sql IS 'The statement with ? for each literal, cut at 10,000 characters.';
COMMENT ON COLUMN superset_ext.query_fingerprint.first_seen IS 'When it was first sent.';
COMMENT ON COLUMN superset_ext.query_fingerprint.last_seen IS 'When it was last sent, to the day at least.';
