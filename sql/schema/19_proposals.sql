-- Advice for indexes before anybody builds them, other texts of slow statements, and when sources are looked at.

ALTER TABLE superset_ext.advice_log
    ADD COLUMN IF NOT EXISTS table_name text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS reach_seconds double precision,
    ADD COLUMN IF NOT EXISTS writes_a_day double precision,
    ADD COLUMN IF NOT EXISTS wal_bytes_a_day double precision,
    ADD COLUMN IF NOT EXISTS charts integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS datasets integer[] NOT NULL DEFAULT '{}';

ALTER TABLE superset_ext.advice_log DROP CONSTRAINT IF EXISTS advice_log_state_check;
UPDATE superset_ext.advice_log SET state = 'building' WHERE state = 'proposed';
ALTER TABLE superset_ext.advice_log ADD CONSTRAINT advice_log_state_check
    CHECK (state IN ('proposed', 'building', 'tried', 'applied', 'brought', 'dropped'));

COMMENT ON TABLE superset_ext.advice_log IS 'One row an index that is advised for a source, or was built there as advised, with its outcome.';
COMMENT ON COLUMN superset_ext.advice_log.created_at IS 'When it was written: first advised, or about to be built.';
COMMENT ON COLUMN superset_ext.advice_log.table_name IS 'Of the index, with its schema, as the source writes it.';
COMMENT ON COLUMN superset_ext.advice_log.reach_seconds IS 'Of the log, that the statements took which could use it.';
COMMENT ON COLUMN superset_ext.advice_log.writes_a_day IS 'Rows of its table written a day, each of which it follows; NULL where that is not known.';
COMMENT ON COLUMN superset_ext.advice_log.wal_bytes_a_day IS 'That it then adds to the write-ahead log a day, estimated.';
COMMENT ON COLUMN superset_ext.advice_log.charts IS 'Superset''s ids of those that gain.';
COMMENT ON COLUMN superset_ext.advice_log.datasets IS 'Superset''s ids of those that gain.';
COMMENT ON COLUMN superset_ext.advice_log.state IS 'proposed: advised, and not built; building: it is about to be built, or is to go; tried: measured and gone; applied: it stands; brought: it stands, and the log says what it brings; dropped: gone again.';

ALTER TABLE superset_ext.query_plan ADD COLUMN IF NOT EXISTS rewrites jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN superset_ext.query_plan.rewrites IS 'The rules that write the statement otherwise, with the planner''s costs of both texts; empty for none.';

CREATE TABLE IF NOT EXISTS superset_ext.source_look (
    database_id integer NOT NULL,
    topic text NOT NULL CHECK (topic IN ('indexes', 'upkeep')),
    next_at timestamptz NOT NULL,
    looked_at timestamptz,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (database_id, topic)
);

COMMENT ON TABLE superset_ext.source_look IS 'When sources are looked at: one row a database and topic.';
COMMENT ON COLUMN superset_ext.source_look.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.source_look.topic IS 'indexes: which would help; upkeep: what it needs for itself.';
COMMENT ON COLUMN superset_ext.source_look.next_at IS 'Before when it is not looked at again.';
COMMENT ON COLUMN superset_ext.source_look.looked_at IS 'When it was last looked at; NULL for not yet.';
COMMENT ON COLUMN superset_ext.source_look.reason IS 'Why it could not be looked at the last time, or what was left out; empty for neither.';
