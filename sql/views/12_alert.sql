-- Alerts of the last 30 days, and those that last.

DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_alert;

CREATE MATERIALIZED VIEW superset_ext.perf_alert AS
SELECT
    alert.id, rule.name, rule.severity, alert.subject, alert.fired_at, alert.resolved_at, alert.value,
    rule.threshold_value AS threshold, alert.message, alert.confidence
FROM superset_ext.performance_alert AS alert
JOIN superset_ext.performance_alert_rule AS rule ON rule.id = alert.rule_id
WHERE alert.fired_at >= now() - interval '30 days' OR alert.resolved_at IS NULL;

CREATE UNIQUE INDEX perf_alert_key ON superset_ext.perf_alert (id);

COMMENT ON MATERIALIZED VIEW superset_ext.perf_alert IS 'Alerts of the last 30 days, and those that last.';
COMMENT ON COLUMN superset_ext.perf_alert.id IS 'The alert.';
COMMENT ON COLUMN superset_ext.perf_alert.name IS 'Its rule.';
COMMENT ON COLUMN superset_ext.perf_alert.severity IS 'info, warning or critical.';
COMMENT ON COLUMN superset_ext.perf_alert.subject IS 'What it is of; empty where the rule has no such.';
COMMENT ON COLUMN superset_ext.perf_alert.fired_at IS 'When it began.';
COMMENT ON COLUMN superset_ext.perf_alert.resolved_at IS 'When it ended; NULL while it lasts.';
COMMENT ON COLUMN superset_ext.perf_alert.value IS 'The metric when it began.';
COMMENT ON COLUMN superset_ext.perf_alert.threshold IS 'What it was compared with.';
COMMENT ON COLUMN superset_ext.perf_alert.message IS 'What people are told, in one line.';
COMMENT ON COLUMN superset_ext.perf_alert.confidence IS '0 to 1, of an anomaly; NULL for a threshold.';
