-- What ANALYZE has found out of the columns of these relations and of the expressions of their indexes, as text.
-- Asked of a source database: PostgreSQL 14 or later, by a role that sees the statistics of what it may read.
SELECT
    s.schemaname AS schema_name,
    s.tablename AS table_name,
    s.attname AS column_name,
    CASE WHEN c.relkind = 'i' THEN a.attnum END AS place,
    s.inherited,
    s.null_frac::float8 AS null_frac,
    s.avg_width,
    s.n_distinct::float8 AS n_distinct,
    s.most_common_vals::text AS most_common_vals,
    s.most_common_freqs::text AS most_common_freqs,
    s.histogram_bounds::text AS histogram_bounds,
    s.correlation::float8 AS correlation,
    s.most_common_elems::text AS most_common_elems,
    s.most_common_elem_freqs::text AS most_common_elem_freqs,
    s.elem_count_histogram::text AS elem_count_histogram
FROM pg_stats AS s
JOIN pg_namespace AS n ON n.nspname = s.schemaname
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = s.tablename
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = s.attname
WHERE c.oid = ANY (%(oids)s::oid[])
   OR c.oid IN (SELECT x.indexrelid FROM pg_index AS x WHERE x.indrelid = ANY (%(oids)s::oid[]))
ORDER BY c.oid, a.attnum
