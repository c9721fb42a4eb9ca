-- Tables that are divided by a date or a time: where their last part ends, and how long a part is on average.
-- Asked of a source database: PostgreSQL 14 or later.
WITH divided AS MATERIALIZED (
    SELECT p.partrelid, p.partdefid <> 0 AS has_default, format('%I.%I', n.nspname, c.relname) AS relation
    FROM pg_partitioned_table AS p
    JOIN pg_class AS c ON c.oid = p.partrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] <> 0
        AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
), bounds AS MATERIALIZED (
    SELECT
        d.relation, d.has_default,
        regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \((.+)\) TO \((.+)\)$') AS ends
    FROM divided AS d
    JOIN pg_inherits AS i ON i.inhparent = d.partrelid
    JOIN pg_class AS c ON c.oid = i.inhrelid
), parts AS MATERIALIZED (
    SELECT
        relation, has_default, ends[2] = 'MAXVALUE' AS endless,
        CASE WHEN ends[1] LIKE '''%' THEN trim(ends[1], '''')::timestamptz END AS first,
        CASE WHEN ends[2] LIKE '''%' THEN trim(ends[2], '''')::timestamptz END AS last
    FROM bounds WHERE ends IS NOT NULL
)
SELECT
    relation, count(*) AS parts, has_default,
    extract(epoch FROM max(last) - now())::float8 / 86400 AS days_ahead,
    extract(epoch FROM max(last) - min(first))::float8 / 86400 / count(*) AS days_each,
    extract(epoch FROM now() - min(first))::float8 / 86400 AS oldest_days
FROM parts
GROUP BY relation, has_default
HAVING NOT bool_or(endless) AND isfinite(max(last)) AND isfinite(min(first))
ORDER BY relation
