-- The share of chart queries that failed, by source database, in the window. People try things in SQL Lab: an error
-- there is theirs.
SELECT 'database:' || q.id, coalesce(n.name, '#' || q.id), bad::float8 / runs, bad
FROM (
    SELECT coalesce(database_id, 0) AS id, count(*) AS runs, count(*) FILTER (WHERE error IS NOT NULL) AS bad
    FROM superset_ext.query_performance_log AS log
    WHERE created_at > %(now)s::timestamptz - %(window)s::interval
        AND created_at <= %(now)s::timestamptz AND channel IS DISTINCT FROM 'warm' AND source = 'chart'
    GROUP BY 1
) AS q LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id = q.id;
