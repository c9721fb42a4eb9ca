-- The longest wait for a lock that samples of the window saw, in minutes, by source database.
SELECT 'database:' || s.database_id, coalesce(n.name, '#' || s.database_id), max(s.lock_seconds) / 60,
    count(*) FILTER (WHERE s.lock_seconds > 0)
FROM superset_ext.database_sample AS s
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'database' AND n.id = s.database_id
WHERE s.at > %(now)s::timestamptz - %(window)s::interval AND s.at <= %(now)s::timestamptz AND s.lock_seconds IS NOT NULL
GROUP BY s.database_id, n.name;
