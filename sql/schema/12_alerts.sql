-- Alerts: the rules, the ones that come with the package included, the alerts, the notices that are to be sent, and the
-- series in which anomalies are detected.

CREATE TABLE IF NOT EXISTS superset_ext.performance_alert_rule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    metric_type text NOT NULL,
    subject text,
    threshold_value double precision NOT NULL,
    comparison_operator text NOT NULL CHECK (comparison_operator IN ('>', '>=', '<', '<=')),
    clear_value double precision,
    window_minutes integer NOT NULL CHECK (window_minutes > 0),
    min_occurrences integer NOT NULL DEFAULT 1 CHECK (min_occurrences > 0),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    cooldown_minutes integer NOT NULL DEFAULT 0 CHECK (cooldown_minutes >= 0),
    enabled boolean NOT NULL DEFAULT true,
    builtin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.performance_alert_rule IS 'What people are alerted to.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.id IS 'The rule.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.name IS 'Its name for people.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.metric_type IS 'The metric.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.subject IS 'The only subject that it watches, such as chart_data; NULL for all that the metric has.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.threshold_value IS 'What the metric is compared with, in its own unit.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.comparison_operator IS 'An alert begins when the metric is on this side of the threshold.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.clear_value IS 'An alert ends when the metric is on the other side of this value; NULL for the threshold itself.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.window_minutes IS 'Minutes over which the metric is measured.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.min_occurrences IS 'Misses, dropped answers, slow queries, errors or samples in the window, depending on the metric; with fewer there is no alert.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.severity IS 'info, warning or critical.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.cooldown_minutes IS 'Minutes after an alert''s end in which no new one of the same subject begins.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.enabled IS 'Whether it is evaluated.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.builtin IS 'Whether it came with the package.';
COMMENT ON COLUMN superset_ext.performance_alert_rule.created_at IS 'When it was made.';

-- Inserted once only: a change that a person makes to a rule stays.
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

CREATE TABLE IF NOT EXISTS superset_ext.performance_alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL REFERENCES superset_ext.performance_alert_rule ON DELETE CASCADE,
    subject text NOT NULL DEFAULT '',
    fired_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    value double precision,
    worst double precision,
    confidence double precision,
    message text NOT NULL DEFAULT '',
    notified_at timestamptz,
    resolved_notified_at timestamptz,
    error text
);

-- However many processes evaluate a rule, a subject has one open alert at a time.
CREATE UNIQUE INDEX IF NOT EXISTS performance_alert_open ON superset_ext.performance_alert (rule_id, subject)
    WHERE resolved_at IS NULL;
CREATE INDEX IF NOT EXISTS performance_alert_fired_at ON superset_ext.performance_alert (fired_at);

COMMENT ON TABLE superset_ext.performance_alert IS 'One row an alert, from its begin to its end.';
COMMENT ON COLUMN superset_ext.performance_alert.id IS 'The alert.';
COMMENT ON COLUMN superset_ext.performance_alert.rule_id IS 'Its rule.';
COMMENT ON COLUMN superset_ext.performance_alert.subject IS 'The region, database, view or schedule that it is about; empty where the rule has none.';
COMMENT ON COLUMN superset_ext.performance_alert.fired_at IS 'When it began.';
COMMENT ON COLUMN superset_ext.performance_alert.resolved_at IS 'When it ended; NULL while it is open.';
COMMENT ON COLUMN superset_ext.performance_alert.value IS 'The metric when it began.';
COMMENT ON COLUMN superset_ext.performance_alert.worst IS 'The metric at its worst.';
COMMENT ON COLUMN superset_ext.performance_alert.confidence IS 'Confidence of an anomaly, 0 to 1; NULL for a threshold.';
COMMENT ON COLUMN superset_ext.performance_alert.message IS 'What people are told, in one line.';
COMMENT ON COLUMN superset_ext.performance_alert.notified_at IS 'When people were told that it began; NULL for not yet.';
COMMENT ON COLUMN superset_ext.performance_alert.resolved_notified_at IS 'When they were told that it ended; NULL for not yet.';
COMMENT ON COLUMN superset_ext.performance_alert.error IS 'Why they could not be told.';

-- No foreign key to the alert: its end is still sent after its rule, and with it the alert, was deleted.
CREATE TABLE IF NOT EXISTS superset_ext.performance_alert_notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL,
    event text NOT NULL CHECK (event IN ('fired', 'resolved')),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_to text[] NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    error text
);

CREATE INDEX IF NOT EXISTS performance_alert_notice_open ON superset_ext.performance_alert_notice (alert_id, id)
    WHERE done_at IS NULL;

COMMENT ON TABLE superset_ext.performance_alert_notice IS 'Messages about alerts, until all addresses have them.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.id IS 'The notice.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.alert_id IS 'The alert, which may have been deleted since.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.event IS 'fired or resolved.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.severity IS 'info, warning or critical.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.title IS 'Its first line.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.body IS 'The rest.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.created_at IS 'When it was written.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.delivered_to IS 'Keyed hashes of the addresses that have it.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.attempts IS 'How often it was tried.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.not_before IS 'When it may be tried next.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.done_at IS 'When the last address had it, or when it was given up; NULL until then.';
COMMENT ON COLUMN superset_ext.performance_alert_notice.error IS 'Why the last try failed, without any address; NULL if it did not.';

CREATE TABLE IF NOT EXISTS superset_ext.performance_series (
    series text NOT NULL,
    at timestamptz NOT NULL,
    value double precision NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (series, at)
);

COMMENT ON TABLE superset_ext.performance_series IS 'Figures of five minutes each of the last 14 days, from which anomalies are detected.';
COMMENT ON COLUMN superset_ext.performance_series.series IS 'hit_ratio, response_ms, requests and errors of charts; query_ms and query_errors of a database, as query_ms:3.';
COMMENT ON COLUMN superset_ext.performance_series.at IS 'When the five minutes begin.';
COMMENT ON COLUMN superset_ext.performance_series.value IS 'The figure: a share, milliseconds, or a number of requests.';
COMMENT ON COLUMN superset_ext.performance_series.events IS 'Number of requests or queries behind the figure.';
