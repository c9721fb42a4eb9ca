-- Tuning: the steps that it made, and the values that are in force.

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

COMMENT ON TABLE superset_ext.cache_tuning_log IS 'One row a step of tuning, with its outcome.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.id IS 'The step.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.created_at IS 'When it was made.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.subject IS 'What it was set for, as dataset:12.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.setting IS 'timeout or grace.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.old_value IS 'Seconds before; NULL where none were set.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.new_value IS 'Seconds after.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.reason IS 'Why.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.saved_before IS 'Database seconds saved in the window before.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.saved_after IS 'Database seconds saved in the window after; NULL during it.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.state IS 'trial while it is measured; then kept or reverted.';
COMMENT ON COLUMN superset_ext.cache_tuning_log.decided_at IS 'When that was decided.';

CREATE TABLE IF NOT EXISTS superset_ext.setting_override (
    subject text NOT NULL,
    setting text NOT NULL,
    value double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, setting)
);

COMMENT ON TABLE superset_ext.setting_override IS 'The values that tuning has set.';
COMMENT ON COLUMN superset_ext.setting_override.subject IS 'What it is set for, as dataset:12.';
COMMENT ON COLUMN superset_ext.setting_override.setting IS 'timeout or grace.';
COMMENT ON COLUMN superset_ext.setting_override.value IS 'Seconds.';
COMMENT ON COLUMN superset_ext.setting_override.at IS 'When it was set.';
