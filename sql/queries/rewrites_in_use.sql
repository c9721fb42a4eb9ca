-- What rewrites of charts have done, by dataset and rules: statements by their state, and all counts.
SELECT
    u.dataset_id,
    n.name AS dataset,
    u.database_id,
    u.rules,
    count(*) FILTER (WHERE u.state = 'used') AS used,
    count(*) FILTER (WHERE u.state = 'trying') AS trying,
    count(*) FILTER (WHERE u.state = 'off') AS off,
    sum(u.uses)::bigint AS uses,
    sum(u.runs)::bigint AS runs,
    sum(u.differences)::bigint AS differences,
    sum(u.failures)::bigint AS failures,
    sum(u.stock_ms) / nullif(sum(u.runs), 0) AS stock_ms,
    sum(u.rewritten_ms) / nullif(sum(u.runs), 0) AS rewritten_ms,
    array_remove(array_agg(DISTINCT nullif(u.reason, '')), NULL) AS reasons
FROM superset_ext.rewrite_use AS u
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'dataset' AND n.id = u.dataset_id
GROUP BY u.dataset_id, n.name, u.database_id, u.rules
ORDER BY uses DESC, u.dataset_id, u.rules
