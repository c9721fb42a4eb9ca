-- The mean number of queries that were under way within a minute, by source database. By Little's law it is the time
-- that queries took within the minute, divided by the minute. The minute ended `late` seconds ago, since queries that
-- have just ended are not in the log yet.
SELECT
    database_id,
    sum(extract(epoch FROM greatest(
        interval '0',
        least(created_at, until) - greatest(created_at - make_interval(secs => duration_ms / 1000), since)
    )))::float8 / 60
FROM superset_ext.query_performance_log, (
    SELECT now() - make_interval(secs => 60 + %(late)s) AS since, now() - make_interval(secs => %(late)s) AS until
) AS minute
WHERE created_at > since AND database_id IS NOT NULL
GROUP BY database_id;
