-- What became of advice for indexes.

CREATE TABLE IF NOT EXISTS superset_ext.advice_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    database_id integer NOT NULL,
    schema_name text NOT NULL,
    index_name text NOT NULL,
    definition text NOT NULL,
    bytes bigint NOT NULL,
    seconds double precision,
    fingerprints text[] NOT NULL,
    state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'tried', 'applied', 'brought', 'dropped')),
    reason text NOT NULL DEFAULT '',
    trial jsonb,
    applied_at timestamptz,
    brought jsonb,
    changed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (database_id, schema_name, index_name)
);

COMMENT ON TABLE superset_ext.advice_log IS 'One row an index that was built on a source as advised, with its outcome.';
COMMENT ON COLUMN superset_ext.advice_log.id IS 'The row.';
COMMENT ON COLUMN superset_ext.advice_log.created_at IS 'When it was written, before the index was built.';
COMMENT ON COLUMN superset_ext.advice_log.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.advice_log.schema_name IS 'Of the index on the source.';
COMMENT ON COLUMN superset_ext.advice_log.index_name IS 'Its name there, which no other index gets.';
COMMENT ON COLUMN superset_ext.advice_log.definition IS 'What follows the name in CREATE INDEX; it holds no value of a query.';
COMMENT ON COLUMN superset_ext.advice_log.bytes IS 'Its size, estimated.';
COMMENT ON COLUMN superset_ext.advice_log.seconds IS 'Of the log, that it was to save by the planner''s costs; NULL where nothing was costed.';
COMMENT ON COLUMN superset_ext.advice_log.fingerprints IS 'The statements that could use it.';
COMMENT ON COLUMN superset_ext.advice_log.state IS 'proposed: it is about to be built, or is to go; tried: measured and gone; applied: it stands; brought: it stands, and the log says what it brings; dropped: gone again.';
COMMENT ON COLUMN superset_ext.advice_log.reason IS 'Why, in words.';
COMMENT ON COLUMN superset_ext.advice_log.trial IS 'What was measured: the unit, and for each statement the seconds before and after; NULL where it was not tried.';
COMMENT ON COLUMN superset_ext.advice_log.applied_at IS 'Since when it stands; NULL where it does not.';
COMMENT ON COLUMN superset_ext.advice_log.brought IS 'For each statement calls and median milliseconds in the week before and in the day after; NULL until then.';
COMMENT ON COLUMN superset_ext.advice_log.changed_at IS 'When its state last changed.';
