-- What changed, and what the caches did about it.

ALTER TABLE superset_ext.cache_performance_log
    ADD COLUMN IF NOT EXISTS stale_hits bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS coalesced bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS sets_superseded bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN superset_ext.cache_performance_log.stale_hits IS 'Of the hits: an answer whose time was over, given while somebody refreshed it.';
COMMENT ON COLUMN superset_ext.cache_performance_log.coalesced IS 'Of the hits: waited for the same query of another caller.';
COMMENT ON COLUMN superset_ext.cache_performance_log.sets_superseded IS 'Values not stored: one that was read later is there already.';

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
    rewarmed bigint NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS cache_invalidation_log_created_at ON superset_ext.cache_invalidation_log (created_at);

COMMENT ON TABLE superset_ext.cache_invalidation_log IS 'One row a change that was told to the caches.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.id IS 'The row.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.created_at IS 'When it was told.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.source IS 'Who said so: webhook, cli, superset, sqllab, postgresql or probe.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.operation IS 'user_action, schema_change or data_update.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.tables IS 'Source tables, as database id:schema.name.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.tags IS 'The tags that were stamped, without their variants for one operation.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.requested_by IS 'User id of who did it, where somebody did.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.stamped_at IS 'When, by the clock of Redis, nothing older was served any more.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.seconds IS 'From the change to the stamp, where the time of the change is known.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.entries_affected IS 'Entries that were dropped, as far as the registry of requests knows; NULL where nothing is registered.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.entries_exact IS 'Whether entries_affected is all of them: only where keys were deleted one by one.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.requests_affected IS 'Remembered requests whose answers were dropped.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.rewarm_run_id IS 'The warming run that followed.';
COMMENT ON COLUMN superset_ext.cache_invalidation_log.rewarmed IS 'Entries that it stored.';

-- Changes made in Superset while Redis could not be told; they are told again until it is.
CREATE TABLE IF NOT EXISTS superset_ext.cache_invalidation_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    change jsonb NOT NULL
);

COMMENT ON TABLE superset_ext.cache_invalidation_outbox IS 'Changes made in Superset while Redis could not be told; they are told again until it is.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.id IS 'The row.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.created_at IS 'When it happened.';
COMMENT ON COLUMN superset_ext.cache_invalidation_outbox.change IS 'What changed, as events.Change.';

-- What the answers of a remembered request were read from, so that one can tell which of them a change drops.
ALTER TABLE superset_ext.cache_request ADD COLUMN IF NOT EXISTS tags text[] NOT NULL DEFAULT '{}';
CREATE INDEX IF NOT EXISTS cache_request_tags ON superset_ext.cache_request USING gin (tags);

COMMENT ON COLUMN superset_ext.cache_request.tags IS 'What its answers were read from, as in cache_invalidation_log.tags.';
