-- How slow statements could be written otherwise: of the last week, the latest plan of each. Not materialized: they are few.
-- perf_proposal stands on it, so it is replaced, and not dropped.

CREATE OR REPLACE VIEW superset_ext.perf_rewrite AS
SELECT
    latest.taken_at, latest.fingerprint, latest.database_id,
    superset_ext.object_label('database', latest.database_id, database.name) AS database,
    superset_ext.object_label('dataset', coalesce(most.dataset_id, 0), dataset.name) AS dataset,
    superset_ext.object_label('chart', coalesce(most.chart_id, 0), chart.name) AS chart,
    applied ->> 'rule' AS rule, (applied ->> 'automatic')::boolean AS automatic,
    array(SELECT jsonb_array_elements_text(applied -> 'changed')) AS changed, (applied ->> 'times')::float8 AS times,
    (latest.rewrites ->> 'cost')::float8 AS cost, (latest.rewrites ->> 'cost_after')::float8 AS cost_after,
    (latest.rewrites ->> 'only_below_rows')::bigint AS only_below_rows, coalesce(spent.seconds, 0) AS seconds
FROM (
    SELECT DISTINCT ON (fingerprint) fingerprint, taken_at, database_id, rewrites
    FROM superset_ext.query_plan WHERE taken_at >= now() - interval '7 days'
    ORDER BY fingerprint, taken_at DESC
) AS latest
CROSS JOIN LATERAL jsonb_array_elements(latest.rewrites -> 'applied') AS applied
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

COMMENT ON VIEW superset_ext.perf_rewrite IS 'How slow statements could be written otherwise, with the same answer: of the last week, the latest plan of each.';
COMMENT ON COLUMN superset_ext.perf_rewrite.taken_at IS 'When the plan was taken.';
COMMENT ON COLUMN superset_ext.perf_rewrite.fingerprint IS 'The statement.';
COMMENT ON COLUMN superset_ext.perf_rewrite.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.perf_rewrite.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_rewrite.dataset IS 'The dataset that the statement took most time for, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_rewrite.chart IS 'The chart that it took most time for, or that there is none.';
COMMENT ON COLUMN superset_ext.perf_rewrite.rule IS 'The rule that applies.';
COMMENT ON COLUMN superset_ext.perf_rewrite.automatic IS 'Whether it always helps where it applies.';
COMMENT ON COLUMN superset_ext.perf_rewrite.changed IS 'What it changes, a line each, without values.';
COMMENT ON COLUMN superset_ext.perf_rewrite.times IS 'How many times as fast the statement should be by this rule.';
COMMENT ON COLUMN superset_ext.perf_rewrite.cost IS 'The planner''s, of the statement as it is.';
COMMENT ON COLUMN superset_ext.perf_rewrite.cost_after IS 'The planner''s, with all rules that apply.';
COMMENT ON COLUMN superset_ext.perf_rewrite.only_below_rows IS 'The answer is sure where fewer rows than this come back; NULL: always.';
COMMENT ON COLUMN superset_ext.perf_rewrite.seconds IS 'Of the statement in the last seven days.';
