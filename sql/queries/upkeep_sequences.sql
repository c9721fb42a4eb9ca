-- How much of its numbers each sequence has given, by its own end and by the type of the column that takes them.
-- Asked of a source database: PostgreSQL 14 or later. `given` is null where the role may not see it.
WITH numbers AS (
    SELECT
        q.seqrelid, format('%I.%I', n.nspname, c.relname) AS relation, q.seqincrement, q.seqstart,
        CASE WHEN has_sequence_privilege(q.seqrelid, 'SELECT, USAGE') THEN pg_sequence_last_value(q.seqrelid) END
            AS last, has_sequence_privilege(q.seqrelid, 'SELECT, USAGE') AS seen,
        CASE WHEN q.seqincrement > 0 THEN q.seqmax ELSE q.seqmin END AS own_end,
        quote_ident(tn.nspname) || '.' || quote_ident(t.relname) AS table_name, quote_ident(a.attname) AS column_name,
        CASE a.atttypid
            WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647
            WHEN 'bigint'::regtype THEN 9223372036854775807 END::numeric AS column_end
    FROM pg_sequence AS q
    JOIN pg_class AS c ON c.oid = q.seqrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = q.seqrelid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    LEFT JOIN pg_class AS t ON t.oid = d.refobjid
    LEFT JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
    LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE NOT q.seqcycle AND c.relpersistence <> 't'
)
SELECT
    relation, table_name, column_name, seen,
    (abs(last - seqstart) + abs(seqincrement))::float8 AS given,
    (abs(CASE WHEN seqincrement > 0 THEN least(own_end, column_end) ELSE greatest(own_end, -column_end) END - seqstart)
        + abs(seqincrement))::float8 AS all_numbers,
    column_end < own_end AS ends_at_column
FROM numbers
ORDER BY relation
