-- Charts that are answered from aggregates: which, what was compared, what is switched off, how the aggregates are, and
-- why other charts are not answered from one. No table has a value of a query.

CREATE TABLE IF NOT EXISTS superset_ext.aggregate_use (LIKE superset_ext.rewrite_use INCLUDING ALL);

CREATE TABLE IF NOT EXISTS superset_ext.aggregate_switched_off (
    database_id integer NOT NULL,
    aggregate text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    dataset_id integer NOT NULL,
    fingerprint text NOT NULL,
    original text NOT NULL,
    rewritten text NOT NULL,
    PRIMARY KEY (database_id, aggregate)
);

CREATE TABLE IF NOT EXISTS superset_ext.aggregate_state (
    database_id integer NOT NULL,
    aggregate text NOT NULL,
    edition text NOT NULL,
    base text NOT NULL,
    title text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    is_exact boolean NOT NULL,
    upkeep text NOT NULL,
    every_seconds integer NOT NULL,
    rows bigint,
    bytes bigint,
    as_of timestamptz,
    refresh_seconds double precision,
    built_at timestamptz,
    refreshed_at timestamptz,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_id, aggregate)
);

CREATE TABLE IF NOT EXISTS superset_ext.aggregate_refusal (
    database_id integer NOT NULL,
    dataset_id integer NOT NULL,
    base text NOT NULL,
    aggregate text NOT NULL,
    reason text NOT NULL,
    refused bigint NOT NULL,
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_id, dataset_id, base, aggregate, reason)
);

COMMENT ON TABLE superset_ext.aggregate_use IS 'One row a statement of a dataset and the aggregate that answers it.';
COMMENT ON COLUMN superset_ext.aggregate_use.rules IS 'The aggregate: its name, and when it was built, in microseconds since 1970.';
COMMENT ON TABLE superset_ext.aggregate_switched_off IS 'Aggregates that gave other rows, and answer no chart until they are built anew.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.aggregate IS 'Its name, and when it was built, in microseconds since 1970.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.at IS 'Since when.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.dataset_id IS 'The dataset whose statement showed it.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.fingerprint IS 'The statement that showed it.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.original IS 'Superset''s own text of it, without values.';
COMMENT ON COLUMN superset_ext.aggregate_switched_off.rewritten IS 'The text that reads the aggregate, without values.';
COMMENT ON TABLE superset_ext.aggregate_state IS 'Aggregates as they were when their source was last looked at.';
COMMENT ON COLUMN superset_ext.aggregate_state.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.aggregate_state.aggregate IS 'Its name.';
COMMENT ON COLUMN superset_ext.aggregate_state.edition IS 'Its name, and when it was built, in microseconds since 1970.';
COMMENT ON COLUMN superset_ext.aggregate_state.base IS 'What it is made of: the name of a table, or a digest of a query.';
COMMENT ON COLUMN superset_ext.aggregate_state.title IS 'The same for people: a table with its schema, or that it is a query.';
COMMENT ON COLUMN superset_ext.aggregate_state.state IS 'building, ready or off.';
COMMENT ON COLUMN superset_ext.aggregate_state.reason IS 'Why it is off, or why its last refresh failed.';
COMMENT ON COLUMN superset_ext.aggregate_state.is_exact IS 'Whether it had what its query gives.';
COMMENT ON COLUMN superset_ext.aggregate_state.upkeep IS 'notes, tail or schedule.';
COMMENT ON COLUMN superset_ext.aggregate_state.every_seconds IS 'How often it is looked at.';
COMMENT ON COLUMN superset_ext.aggregate_state.rows IS 'How many rows it has.';
COMMENT ON COLUMN superset_ext.aggregate_state.bytes IS 'Its size with indexes.';
COMMENT ON COLUMN superset_ext.aggregate_state.as_of IS 'Everything that had been committed by then is in it.';
COMMENT ON COLUMN superset_ext.aggregate_state.refresh_seconds IS 'How long its last refresh took.';
COMMENT ON COLUMN superset_ext.aggregate_state.built_at IS 'When it was built.';
COMMENT ON COLUMN superset_ext.aggregate_state.refreshed_at IS 'When it was last refreshed.';
COMMENT ON COLUMN superset_ext.aggregate_state.seen_at IS 'When its source was looked at.';
COMMENT ON TABLE superset_ext.aggregate_refusal IS 'Why charts on what aggregates are made of were answered by Superset''s own statement.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.dataset_id IS 'Superset''s dataset.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.base IS 'What it reads: the name of a table, or a digest of a query.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.aggregate IS 'The aggregate that could have answered; empty where none could.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.reason IS 'Why it did not, in words without values of a query.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.refused IS 'How many statements.';
COMMENT ON COLUMN superset_ext.aggregate_refusal.last_at IS 'When that was last so.';

-- Inserted once only: a change that a person makes to a rule stays.
INSERT INTO superset_ext.performance_alert_rule (
    name, metric_type, subject, comparison_operator, threshold_value, clear_value, window_minutes, min_occurrences,
    severity, cooldown_minutes, builtin
)
VALUES
    ('An aggregate gave other rows', 'aggregate_difference', NULL, '>=', 1, NULL, 1440, 1, 'critical', 60, true)
ON CONFLICT (name) DO NOTHING;
