-- Alerts of source databases: waits for locks, statistics, indexes, plans.

ALTER TABLE superset_ext.database_sample ADD COLUMN IF NOT EXISTS lock_seconds double precision;

COMMENT ON COLUMN superset_ext.database_sample.lock_seconds IS 'The longest wait for a lock that lasted then, 0 for none; NULL where it does not report it.';

-- Inserted once only: a change that a person makes to a rule stays.
INSERT INTO superset_ext.performance_alert_rule (
    name, metric_type, subject, comparison_operator, threshold_value, clear_value, window_minutes, min_occurrences,
    severity, cooldown_minutes, builtin
)
VALUES
    ('A source waits for a lock', 'lock_wait', NULL, '>', 0.0166667, NULL, 5, 1, 'warning', 30, true),
    ('Statistics are stale', 'statistics_stale', NULL, '>=', 1, NULL, 60, 1, 'warning', 1440, true),
    ('An index is bloated', 'index_bloat', NULL, '>=', 3, NULL, 60, 1, 'info', 1440, true),
    ('A plan changed and is slower', 'plan_slower', NULL, '>=', 2, NULL, 60, 1, 'warning', 60, true)
ON CONFLICT (name) DO NOTHING;
