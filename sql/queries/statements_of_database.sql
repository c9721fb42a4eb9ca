-- The statements that a database was asked in the last `days`, by what they took: how often, their seconds in all, and
-- which charts and datasets asked. Without SQL Lab's one-off statements: one has to have come twice.
SELECT f.fingerprint, f.sql, count(*)::bigint AS calls, sum(q.duration_ms) / 1000 AS seconds,
    array_remove(array_agg(DISTINCT q.chart_id), NULL) AS charts,
    array_remove(array_agg(DISTINCT q.dataset_id), NULL) AS datasets
FROM superset_ext.query_performance_log AS q
JOIN superset_ext.query_fingerprint AS f USING (fingerprint)
WHERE q.database_id = %(database_id)s AND q.created_at >= now() - make_interval(days => %(days)s) AND q.error IS NULL
GROUP BY f.fingerprint, f.sql
HAVING count(*) > 1 OR bool_or(q.source = 'chart')
ORDER BY seconds DESC, f.fingerprint
LIMIT %(most)s
