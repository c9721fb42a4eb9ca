-- Of the last 30 days, the latest plan of each statement of a database, those nearest to a cost first: what each cost by
-- the planner, and the milliseconds that it took.
SELECT cost, duration_ms
FROM (
    SELECT DISTINCT ON (fingerprint) fingerprint, cost, duration_ms
    FROM superset_ext.query_plan
    WHERE database_id = %(database_id)s AND taken_at >= now() - interval '30 days' AND cost > 0 AND duration_ms > 0
    ORDER BY fingerprint, taken_at DESC
) AS latest
ORDER BY abs(ln(cost) - ln(%(cost)s::float8)), cost, duration_ms
LIMIT %(most)s
