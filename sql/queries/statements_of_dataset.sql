-- The statements that charts asked of a dataset in the last week, those that took most first: their text without values,
-- the charts, and the seconds that the source took.
SELECT statement.sql, counted.charts, counted.seconds
FROM (
    SELECT
        fingerprint, sum(duration_ms_sum) / 1000 AS seconds,
        array_agg(DISTINCT chart_id) FILTER (WHERE chart_id <> 0) AS charts
    FROM superset_ext.query_daily
    WHERE day >= superset_ext.utc_today() - 7 AND database_id = %(database_id)s AND dataset_id = %(dataset_id)s
    GROUP BY fingerprint
    ORDER BY seconds DESC, fingerprint
    LIMIT 200
) AS counted
JOIN superset_ext.query_fingerprint AS statement USING (fingerprint)
