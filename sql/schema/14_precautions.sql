-- A listener that has just begun to listen drops what it may have missed. That is no change that anybody made.

ALTER TABLE superset_ext.cache_invalidation_log ADD COLUMN IF NOT EXISTS precaution boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN superset_ext.cache_invalidation_log.precaution IS 'Whether nobody reported a change: a listener has begun to listen, and drops what it may have missed.';
