-- How sources answer slow queries.

CREATE TABLE IF NOT EXISTS superset_ext.query_plan (
    fingerprint text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    database_id integer NOT NULL,
    duration_ms double precision NOT NULL,
    version integer NOT NULL,
    cost double precision NOT NULL,
    rows double precision NOT NULL,
    shape text NOT NULL,
    plan jsonb NOT NULL,
    findings jsonb NOT NULL,
    considered jsonb NOT NULL,
    PRIMARY KEY (fingerprint, taken_at)
);

CREATE INDEX IF NOT EXISTS query_plan_taken_at ON superset_ext.query_plan (taken_at);

COMMENT ON TABLE superset_ext.query_plan IS 'Plans of slow statements, without values: one a day, and one when the time has doubled.';
COMMENT ON COLUMN superset_ext.query_plan.fingerprint IS 'The statement, of query_fingerprint.';
COMMENT ON COLUMN superset_ext.query_plan.taken_at IS 'When it was taken.';
COMMENT ON COLUMN superset_ext.query_plan.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.query_plan.duration_ms IS 'Milliseconds of the query that led to it.';
COMMENT ON COLUMN superset_ext.query_plan.version IS 'Of the source, as server_version_num has it.';
COMMENT ON COLUMN superset_ext.query_plan.cost IS 'The planner''s estimate.';
COMMENT ON COLUMN superset_ext.query_plan.rows IS 'Rows that the planner expects.';
COMMENT ON COLUMN superset_ext.query_plan.shape IS 'Hash of its steps and of what they read, without estimates.';
COMMENT ON COLUMN superset_ext.query_plan.plan IS 'The tree, and the settings of the planner that are not the server''s defaults.';
COMMENT ON COLUMN superset_ext.query_plan.findings IS 'What costs more than it must.';
COMMENT ON COLUMN superset_ext.query_plan.considered IS 'What was looked at and not advised, with the reason.';
