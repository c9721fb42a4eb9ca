-- Alerts: the rules that come with the package, what is still to be told, and the series that anomalies are found in.

ALTER TABLE superset_ext.performance_alert_rule ADD COLUMN IF NOT EXISTS subject text;

COMMENT ON COLUMN superset_ext.performance_alert_rule.subject IS 'The only subject that it watches, such as chart_data; NULL for all that the metric has.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.min_occurrences IS 'How often it must have happened in the window: misses, dropped answers, slow queries, errors, samples; below that nothing is said.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.cooldown_minutes IS 'Minutes after an alert''s end in which the next one of the same subject is not raised.';

-- Once only: whoever changes a row or switches it off keeps that.
INSERT INTO superset_ext.performance_alert_rule (
    name, metric_type, subject, comparison_operator, threshold_value, clear_value, window_minutes, min_occurrences,
    severity, cooldown_minutes, builtin
)
VALUES
    ('Low hit ratio of charts', 'hit_ratio', 'chart_data', '<', 0.7, 0.75, 15, 20, 'warning', 30, true),
    ('Many answers dropped by changes', 'invalidation_share', NULL, '>', 0.1, 0.07, 5, 10, 'warning', 30, true),
    ('Cache memory over 80 %', 'memory_share', NULL, '>', 0.8, 0.75, 5, 2, 'warning', 30, true),
    ('Cache memory over 90 %', 'memory_share', NULL, '>', 0.9, 0.85, 5, 2, 'critical', 30, true),
    ('Many slow queries', 'slow_query_share', NULL, '>', 0.05, 0.03, 15, 5, 'warning', 30, true),
    ('Slow queries far above their usual number', 'slow_query_spike', NULL, '>=', 5, 3, 15, 10, 'warning', 60, true),
    ('Cache errors', 'cache_error_share', NULL, '>', 0.01, 0.005, 15, 5, 'critical', 15, true),
    ('Chart queries fail', 'query_error_share', NULL, '>', 0.01, 0.005, 15, 3, 'critical', 15, true),
    ('Figures are old', 'view_age', NULL, '>', 15, NULL, 15, 1, 'warning', 30, true),
    ('Warming fails', 'warm_failures', NULL, '>=', 0.5, NULL, 10080, 1, 'warning', 60, true),
    ('Warmed for nobody', 'warm_read_ratio', NULL, '<=', 0, NULL, 10080, 1, 'info', 1440, true),
    ('Unusual figures', 'anomaly', NULL, '>=', 0.96, 0.8, 30, 20, 'warning', 120, true)
ON CONFLICT (name) DO NOTHING;

-- What people are to be told. It has no reference to its alert: the end of one is told though its rule is deleted.
CREATE TABLE IF NOT EXISTS superset_ext.performance_alert_notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL,
    what text NOT NULL CHECK (what IN ('fired', 'resolved')),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    told text[] NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    error text
);

CREATE INDEX IF NOT EXISTS performance_alert_notice_open ON superset_ext.performance_alert_notice (alert_id, id)
    WHERE done_at IS NULL;

COMMENT ON TABLE superset_ext.performance_alert_notice IS 'What people are to be told, until all of them were.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.id IS 'The notice.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.alert_id IS 'The alert that it is of, which may be deleted since.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.what IS 'fired or resolved.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.severity IS 'info, warning or critical.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.title IS 'Its first line.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.body IS 'The rest.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.created_at IS 'When it was written.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.told IS 'The addresses that have it, each as a keyed hash.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.attempts IS 'Times that it was tried.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.not_before IS 'Not to be tried before.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.done_at IS 'When the last address had it, or it was given up; NULL while it is to be tried.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.error IS 'Why the last try failed, without any address; NULL where it did not.';

CREATE TABLE IF NOT EXISTS superset_ext.performance_series (
    series text NOT NULL,
    at timestamptz NOT NULL,
    value double precision NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (series, at)
);

COMMENT ON TABLE superset_ext.performance_series IS 'Figures of five minutes each, of the last 14 days, in which anomalies are found.';
COMMENT ON COLUMN superset_ext.performance_series.series IS 'hit_ratio, response_ms, requests and errors of charts; query_ms and query_errors of a database, as query_ms:3.';
COMMENT ON COLUMN superset_ext.performance_series.at IS 'Begin of the five minutes.';
COMMENT ON COLUMN superset_ext.performance_series.value IS 'The figure: a share, milliseconds, or a number of requests.';
COMMENT ON COLUMN superset_ext.performance_series.events IS 'Requests or queries that it is the figure of.';
