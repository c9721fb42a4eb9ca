-- How many times as many slow queries as in the mean window of the day before, by source database. Of those windows
-- only those count in which anybody asked: nights would make every morning a spike.
SELECT 'database:' || q.id, coalesce(n.name, '#' || q.id), recent / greatest(earlier::float8 / windows, 1), recent
FROM (
    SELECT id, coalesce(sum(slow) FILTER (WHERE ago = 0), 0) AS recent,
        coalesce(sum(slow) FILTER (WHERE ago > 0), 0) AS earlier, count(*) FILTER (WHERE ago > 0) AS windows
    FROM (
        SELECT coalesce(database_id, 0) AS id, count(*) FILTER (WHERE duration_ms >= %(slow_ms)s) AS slow,
            floor(extract(epoch FROM %(now)s::timestamptz - created_at)
                / extract(epoch FROM %(window)s::interval)) AS ago
        FROM superset_ext.query_performance_log AS log
        WHERE created_at > %(now)s::timestamptz - interval '1 day' - %(window)s::interval
            AND created_at <= %(now)s::timestamptz
            AND channel IS DISTINCT FROM 'warm'
            AND NOT EXISTS (
                SELECT FROM superset_ext.query_fingerprint AS f
                WHERE f.fingerprint = log.fingerprint AND log.created_at < f.first_seen + interval '15 minutes'
            )
        GROUP BY 1, 3
    ) AS by_window
    GROUP BY id
) AS q LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id = q.id
WHERE windows >= 4;
