-- Columns whose list of common values is full, so that values that are common too are not in it. No value is read.
-- Asked of a source database: PostgreSQL 14 or later. Columns that the role may not read are not in pg_stats.
WITH listed AS (
    SELECT
        s.schemaname, s.tablename, s.attname, s.null_frac, s.n_distinct, c.reltuples,
        s.most_common_freqs AS shares,
        coalesce(nullif((to_jsonb(a) ->> 'attstattarget')::integer, -1),
            current_setting('default_statistics_target')::integer) AS target
    FROM pg_stats AS s
    JOIN pg_namespace AS n ON n.nspname = s.schemaname
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = s.tablename AND c.relkind IN ('r', 'm', 'p')
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = s.attname
    WHERE s.schemaname NOT IN ('pg_catalog', 'information_schema') AND s.most_common_freqs IS NOT NULL
        AND NOT s.inherited
)
SELECT
    format('%I.%I', schemaname, tablename) AS relation, quote_ident(attname) AS column_name, reltuples::float8 AS rows,
    target, cardinality(shares) AS listed, shares[cardinality(shares)]::float8 AS least_share,
    (1 - null_frac - (SELECT sum(share) FROM unnest(shares) AS share))::float8 AS rest,
    CASE WHEN n_distinct < 0 THEN -n_distinct * greatest(reltuples, 0) ELSE n_distinct END::float8 AS distinct_values
FROM listed
WHERE cardinality(shares) >= target
ORDER BY schemaname, tablename, attname
