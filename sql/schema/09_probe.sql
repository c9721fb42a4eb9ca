-- What sources last said when they were asked whether their data changed.

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

COMMENT ON TABLE superset_ext.cache_probe IS 'One row a probe: what its source last said, and when it is asked next.';
COMMENT ON COLUMN superset_ext.cache_probe.probe IS 'Hash of the probe as it is set; one that is set differently is another.';
COMMENT ON COLUMN superset_ext.cache_probe.name IS 'What people call it.';
COMMENT ON COLUMN superset_ext.cache_probe.database_id IS 'Superset''s database; NULL while that is not found.';
COMMENT ON COLUMN superset_ext.cache_probe.table_schema IS 'Schema of the source table; empty where that is the database''s default one.';
COMMENT ON COLUMN superset_ext.cache_probe.table_name IS 'The source table; NULL for a dataset that is a query.';
COMMENT ON COLUMN superset_ext.cache_probe.dataset_id IS 'Superset''s dataset, where the probe is of one.';
COMMENT ON COLUMN superset_ext.cache_probe.answer IS 'HMAC of what the source said, in hex; NULL where the next answer counts as a change, whatever it is.';
COMMENT ON COLUMN superset_ext.cache_probe.answered_at IS 'When the source last answered; NULL for never.';
COMMENT ON COLUMN superset_ext.cache_probe.changed_at IS 'When the caches were last told that the data changed.';
COMMENT ON COLUMN superset_ext.cache_probe.failed_since IS 'Since when the source does not answer; NULL where it does.';
COMMENT ON COLUMN superset_ext.cache_probe.error IS 'Why it does not, or why the caches could not be told.';
COMMENT ON COLUMN superset_ext.cache_probe.next_at IS 'When it is asked next.';
COMMENT ON COLUMN superset_ext.cache_probe.lease IS 'Token of who is asking; an answer with another one is not taken.';
COMMENT ON COLUMN superset_ext.cache_probe.lease_until IS 'When another worker may ask.';
