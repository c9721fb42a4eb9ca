-- Tables that are divided by a date or a time: where their last part ends, and how long a part is on average; name and
-- bounds of the part that would come next, a month or a year long where the others are, and the name of the oldest.
-- Asked of a source database: PostgreSQL 14 or later.
WITH divided AS MATERIALIZED (
    SELECT p.partrelid, p.partdefid <> 0 AS has_default, format('%I.%I', n.nspname, c.relname) AS relation,
        n.nspname, c.relname
    FROM pg_partitioned_table AS p
    JOIN pg_class AS c ON c.oid = p.partrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] <> 0
        AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
), bounds AS MATERIALIZED (
    SELECT
        d.relation, d.has_default, d.nspname, d.relname, c.oid::regclass::text AS part,
        regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \((.+)\) TO \((.+)\)$') AS ends
    FROM divided AS d
    JOIN pg_inherits AS i ON i.inhparent = d.partrelid
    JOIN pg_class AS c ON c.oid = i.inhrelid
), parts AS MATERIALIZED (
    SELECT
        relation, has_default, nspname, relname, part, ends[2] = 'MAXVALUE' AS endless,
        CASE WHEN ends[1] LIKE '''%' THEN trim(ends[1], '''')::timestamptz END AS first,
        CASE WHEN ends[2] LIKE '''%' THEN trim(ends[2], '''')::timestamptz END AS last
    FROM bounds WHERE ends IS NOT NULL
), divided_tables AS (
    SELECT
        relation, nspname, relname, count(*) AS parts, has_default, max(last) AS ends_at, min(first) AS begins_at,
        (max(last) - min(first)) / count(*) AS each_lasts, (array_agg(part ORDER BY first))[1] AS oldest
    FROM parts
    GROUP BY relation, nspname, relname, has_default
    HAVING NOT bool_or(endless) AND isfinite(max(last)) AND isfinite(min(first))
)
SELECT
    relation, parts, has_default, oldest,
    extract(epoch FROM ends_at - now())::float8 / 86400 AS days_ahead,
    extract(epoch FROM each_lasts)::float8 / 86400 AS days_each,
    extract(epoch FROM now() - begins_at)::float8 / 86400 AS oldest_days,
    format('%I.%I', nspname, relname || to_char(ends_at, '_YYYYMMDD')) AS next_part,
    ends_at::text AS next_from,
    (ends_at + CASE
        WHEN each_lasts BETWEEN interval '28 days' AND interval '31 days' THEN interval '1 month'
        WHEN each_lasts BETWEEN interval '365 days' AND interval '366 days' THEN interval '1 year'
        ELSE each_lasts
    END)::text AS next_to
FROM divided_tables
ORDER BY relation
