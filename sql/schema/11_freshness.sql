-- Freshness: the changes that the caches were told of, the source tables that are watched (what makes a watch is on the
-- source itself, see sql/watch), and the probes that ask sources whether their data changed.

CREATE TABLE IF NOT EXISTS superset_ext.cache_invalidation_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL,
    operation text NOT NULL CHECK (operation IN ('user_action', 'schema_change', 'data_update')),
    tables text[] NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    requested_by text,
    stamped_at timestamptz,
    seconds double precision,
    entries_affected bigint,
    entries_exact boolean NOT NULL DEFAULT false,
    requests_affected bigint,
    rewarm_run_id uuid,
    rewarmed bigint NOT NULL DEFAULT 0,
    precaution boolean NOT NULL DEFAULT false
);

CREATE INDEX IF NOT EXISTS cache_invalidation_log_created_at ON superset_ext.cache_invalidation_log (created_at);

COMMENT ON TABLE superset_ext.cache_invalidation_log IS 'One row a change that the caches were told of.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.id IS 'The row.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.created_at IS 'When the caches were told.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.source IS 'What reported it: webhook, cli, superset, sqllab, postgresql or probe.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.operation IS 'user_action, schema_change or data_update.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.tables IS 'Source tables, as database id:schema.name.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.tags IS 'The tags that were stamped, without their variants for one operation.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.requested_by IS 'Superset''s id of the user who made the change, where there is one.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.stamped_at IS 'When, by the clock of Redis, the tags were stamped: nothing older was served from then on.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.seconds IS 'Seconds from the change to the stamp; NULL where the time of the change is unknown.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.entries_affected IS 'Entries that were dropped, as far as the registry of requests knows; NULL where nothing is registered.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.entries_exact IS 'Whether entries_affected counts all of them, which is so only where keys were deleted one by one.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.requests_affected IS 'Remembered requests whose answers were dropped.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.rewarm_run_id IS 'The warming run that followed.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.rewarmed IS 'Entries that it stored.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.precaution IS 'Whether nobody reported a change: a listener has begun to listen, and drops what it may have missed.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_invalidation_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    change jsonb NOT NULL
);

COMMENT ON TABLE superset_ext.cache_invalidation_outbox IS 'Changes made in Superset that could not be written to Redis; they are tried again until they are.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.id IS 'The row.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.created_at IS 'When it happened.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.change IS 'What changed, as events.Change.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_watch (
    database_id integer NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_id, schema_name, table_name)
);

COMMENT ON TABLE superset_ext.cache_watch IS 'One row a source table to be watched; a listener restores what is missing on the source.';
COMMENT ON COLUMN superset_ext.cache_watch.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.cache_watch.schema_name IS 'Schema of the source table, as its catalog has it.';
COMMENT ON COLUMN superset_ext.cache_watch.table_name IS 'Its name, likewise.';
COMMENT ON COLUMN superset_ext.cache_watch.added_at IS 'When it was added.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_probe (
    probe text PRIMARY KEY,
    name text NOT NULL,
    database_id integer,
    table_schema text,
    table_name text,
    dataset_id integer,
    answer text,
    answered_at timestamptz,
    changed_at timestamptz,
    failed_since timestamptz,
    error text CHECK (length(error) <= 500),
    next_at timestamptz NOT NULL DEFAULT now(),
    lease uuid,
    lease_until timestamptz
);

COMMENT ON TABLE superset_ext.cache_probe IS 'One row a probe: the last answer of its source, and when it is asked next.';
COMMENT ON COLUMN superset_ext.cache_probe.probe IS 'Hash of the probe''s settings; a probe with other settings is another one.';
COMMENT ON COLUMN superset_ext.cache_probe.name IS 'Its name for people.';
COMMENT ON COLUMN superset_ext.cache_probe.database_id IS 'Superset''s database; NULL while no such database exists.';
COMMENT ON COLUMN superset_ext.cache_probe.table_schema IS 'Schema of the source table; empty where that is the database''s default one.';
COMMENT ON COLUMN superset_ext.cache_probe.table_name IS 'The source table; NULL for a dataset that is a query.';
COMMENT ON COLUMN superset_ext.cache_probe.dataset_id IS 'Superset''s dataset, where the probe is of one.';
COMMENT ON COLUMN superset_ext.cache_probe.answer IS 'HMAC of the last answer, in hex; NULL if the next answer counts as a change, whatever it is.';
COMMENT ON COLUMN superset_ext.cache_probe.answered_at IS 'When the source last answered; NULL for never.';
COMMENT ON COLUMN superset_ext.cache_probe.changed_at IS 'When the caches were last told that the data changed.';
COMMENT ON COLUMN superset_ext.cache_probe.failed_since IS 'Since when it fails; NULL while it works.';
COMMENT ON COLUMN superset_ext.cache_probe.error IS 'Why it fails: the source did not answer, or the caches could not be told.';
COMMENT ON COLUMN superset_ext.cache_probe.next_at IS 'When it is asked next.';
COMMENT ON COLUMN superset_ext.cache_probe.lease IS 'Token of the worker that is asking; a result with another token is ignored.';
COMMENT ON COLUMN superset_ext.cache_probe.lease_until IS 'When another worker may ask.';
