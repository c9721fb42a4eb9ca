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
    (latest.rewrites ->> 'only_below_rows')::bigint AS only_below_rows, coalesce(spent.seconds, 0) AS seconds,
    -- In a pattern of the setting, ? stands for any one character; a quote would end the value for a shell.
    CASE WHEN (applied ->> 'automatic')::boolean THEN
        format('SUPERSET_EXT_REWRITES=''[{"database": %s, "rules": [%s]}]''',
            to_json(coalesce(replace(database.name, '''', '?'), '*')), applied -> 'rule')
    WHEN most.chart_id > 0 THEN 'superset perf rewrite --run --chart ' || most.chart_id
    ELSE 'superset perf explain --fingerprint ' || latest.fingerprint || ', and superset perf rewrite --run with its SQL'
    END AS next_step,
    CASE used.state WHEN 'used' THEN 'applied' WHEN 'off' THEN 'tried' ELSE 'proposed' END AS state,
    CASE WHEN used.state = 'used' THEN
        format('%s of %s runs of both texts gave the same rows, in %s ms and %s ms on average', used.runs - used.differences,
            used.runs, round((used.stock_ms / greatest(used.runs, 1))::numeric, 1),
            round((used.rewritten_ms / greatest(used.runs, 1))::numeric, 1))
    ELSE coalesce(used.reason, '') END AS reason
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
LEFT JOIN LATERAL (
    SELECT u.state, u.reason, u.runs, u.differences, u.stock_ms, u.rewritten_ms FROM superset_ext.rewrite_use AS u
    WHERE u.fingerprint = latest.fingerprint AND u.database_id = latest.database_id AND applied ->> 'rule' = ANY (u.rules)
        AND u.changed_at >= now() - interval '7 days'  -- its setting may be gone since
    ORDER BY u.state = 'used' DESC, u.state_at DESC LIMIT 1
) AS used ON true
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
COMMENT ON COLUMN superset_ext.perf_rewrite.next_step IS 'The setting that has charts answered so, where that always helps; else the command that compares both texts.';
COMMENT ON COLUMN superset_ext.perf_rewrite.state IS 'proposed; applied: charts are answered so, by a setting; tried: both texts were run, and the other one is not used.';
COMMENT ON COLUMN superset_ext.perf_rewrite.reason IS 'Why it is in this state, in words; empty where it is only proposed.';
