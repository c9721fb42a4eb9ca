-- The share of slow queries, by source database, in the window. A statement is new for as long as its first answers are
-- fresh by default, and has to run then; one without a text is never new.
SELECT 'database:' || q.id, coalesce(n.name, '#' || q.id), bad::float8 / runs, bad
FROM (
    SELECT coalesce(database_id, 0) AS id, count(*) AS runs, count(*) FILTER (WHERE duration_ms >= %(slow_ms)s) AS bad
    FROM superset_ext.query_performance_log AS log
    WHERE created_at > %(now)s::timestamptz - %(window)s::interval
        AND created_at <= %(now)s::timestamptz AND channel IS DISTINCT FROM 'warm'
        AND NOT EXISTS (
            SELECT FROM superset_ext.query_fingerprint AS f
            WHERE f.fingerprint = log.fingerprint AND log.created_at < f.first_seen + interval '15 minutes'
        )
    GROUP BY 1
) AS q LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id = q.id;
