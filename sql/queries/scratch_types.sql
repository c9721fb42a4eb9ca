-- The enumerations and domains that columns of these relations are of, or are made of.
-- Asked of a source database.
WITH RECURSIVE used AS (
    SELECT a.atttypid AS oid FROM pg_attribute AS a WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0
    UNION
    SELECT further.oid
    FROM used AS u
    JOIN pg_type AS y ON y.oid = u.oid
    CROSS JOIN LATERAL (VALUES (y.typbasetype), (y.typelem)) AS further(oid)
    WHERE further.oid <> 0
)
SELECT
    n.nspname AS schema_name,
    y.typname AS type_name,
    CASE y.typtype WHEN 'd' THEN format_type(y.typbasetype, y.typtypmod) END AS base,
    ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = y.oid ORDER BY e.enumsortorder) AS labels
FROM used AS u
JOIN pg_type AS y ON y.oid = u.oid AND y.typtype IN ('d', 'e')
JOIN pg_namespace AS n ON n.oid = y.typnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY y.oid
