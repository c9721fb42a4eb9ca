-- Tables whose statistics are missing or old, by source database, as of the last look at its upkeep.
SELECT 'database:' || u.database_id, coalesce(n.name, '#' || u.database_id), tables::float8, tables
FROM (
    SELECT database_id, count(*) FILTER (WHERE kind IN ('statistics_missing', 'statistics_old')) AS tables
    FROM superset_ext.upkeep_finding GROUP BY database_id
) AS u
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'database' AND n.id = u.database_id;
