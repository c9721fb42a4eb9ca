-- How many times as large as its entries need the most bloated index is, by source database, as of the last look.
SELECT 'database:' || u.database_id, coalesce(n.name, '#' || u.database_id), coalesce(times, 0), indexes
FROM (
    SELECT database_id, max((numbers ->> 'times')::float8) FILTER (WHERE kind = 'index_bloat') AS times,
        count(*) FILTER (WHERE kind = 'index_bloat') AS indexes
    FROM superset_ext.upkeep_finding GROUP BY database_id
) AS u
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'database' AND n.id = u.database_id;
