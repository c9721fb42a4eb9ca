-- The alert of a rewrite that gave other rows.

-- Inserted once only: a change that a person makes to a rule stays.
INSERT INTO superset_ext.performance_alert_rule (
    name, metric_type, subject, comparison_operator, threshold_value, clear_value, window_minutes, min_occurrences,
    severity, cooldown_minutes, builtin
)
VALUES
    ('A rewrite gave other rows', 'rewrite_difference', NULL, '>=', 1, NULL, 1440, 1, 'critical', 60, true)
ON CONFLICT (name) DO NOTHING;
