-- What slow statements show: of the last week, the latest plan of each. Not materialized: they are few.

DROP VIEW IF EXISTS superset_ext.perf_finding;

CREATE VIEW superset_ext.perf_finding AS
SELECT
    latest.taken_at, latest.fingerprint, finding ->> 'kind' AS kind,
    latest.database_id,
    superset_ext.object_label('database', latest.database_id, database.name) AS database,
    superset_ext.object_label('dataset', coalesce(most.dataset_id, 0), dataset.name) AS dataset,
    superset_ext.object_label('chart', coalesce(most.chart_id, 0), chart.name) AS chart,
    finding ->> 'evidence' AS evidence, finding ->> 'advice' AS advice, finding ->> 'next_step' AS next_step,
    (finding ->> 'gain')::float8 AS gain, finding ->> 'sure' AS sure,
    coalesce(spent.seconds, 0) AS seconds, coalesce(spent.seconds, 0) * (finding ->> 'gain')::float8 AS seconds_at_most
FROM (
    SELECT DISTINCT ON (fingerprint) fingerprint, taken_at, database_id, findings
    FROM superset_ext.query_plan WHERE taken_at >= now() - interval '7 days'
    ORDER BY fingerprint, taken_at DESC
) AS latest
CROSS JOIN LATERAL jsonb_array_elements(latest.findings) AS finding
LEFT JOIN LATERAL (
    SELECT q.chart_id, q.dataset_id FROM superset_ext.query_daily AS q
    WHERE q.day >= superset_ext.utc_today() - 7 AND q.fingerprint = latest.fingerprint
    GROUP BY q.chart_id, q.dataset_id ORDER BY sum(q.duration_ms_sum) DESC, q.chart_id, q.dataset_id LIMIT 1
) AS most ON true
LEFT JOIN LATERAL (
    SELECT sum(q.duration_ms_sum) / 1000 AS seconds FROM superset_ext.query_daily AS q
    WHERE q.day >= superset_ext.utc_today() - 7 AND q.fingerprint = latest.fingerprint
) AS spent ON true
LEFT JOIN superset_ext.object_name AS database ON database.kind = 'database' AND database.id = latest.database_id
LEFT JOIN superset_ext.object_name AS dataset ON dataset.kind = 'dataset' AND dataset.id = most.dataset_id
LEFT JOIN superset_ext.object_name AS chart ON chart.kind = 'chart' AND chart.id = most.chart_id;

COMMENT ON VIEW superset_ext.perf_finding IS 'What slow statements show: of the last week, the latest plan of each.';
COMMENT ON COLUMN superset_ext.perf_finding.taken_at IS 'When the plan was taken.';
COMMENT ON COLUMN superset_ext.perf_finding.fingerprint IS 'The statement.';
COMMENT ON COLUMN superset_ext.perf_finding.kind IS 'The rule that says so.';
COMMENT ON COLUMN superset_ext.perf_finding.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.perf_finding.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_finding.dataset IS 'The dataset that the statement took most time for, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_finding.chart IS 'The chart that it took most time for, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_finding.evidence IS 'What was seen, in a sentence without values.';
COMMENT ON COLUMN superset_ext.perf_finding.advice IS 'What to do.';
COMMENT ON COLUMN superset_ext.perf_finding.next_step IS 'What to run or look at next.';
COMMENT ON COLUMN superset_ext.perf_finding.gain IS 'Share of the statement''s time that it can save at most.';
COMMENT ON COLUMN superset_ext.perf_finding.sure IS 'certain, likely or possible.';
COMMENT ON COLUMN superset_ext.perf_finding.seconds IS 'Of the statement in the last seven days.';
COMMENT ON COLUMN superset_ext.perf_finding.seconds_at_most IS 'Of these, that it can save at most.';
