-- A row for each column of a relation of a source: its type, what may be in it, and what is known of its values. Of a
-- relation, in every row: how many rows it has by the last ANALYZE (−1 where there was none), and its unique keys.
SELECT
    a.attname,
    t.typname,
    a.atttypmod > 0 AS has_scale,
    NOT a.attnotnull AS is_null,
    coalesce(c.collisdeterministic, TRUE) AS is_deterministic,
    EXISTS (
        SELECT FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL
    ) AS leads_index,
    s.n_distinct,
    r.reltuples,
    (
        SELECT array_agg(k.columns)
        FROM (
            SELECT (
                SELECT string_agg(ka.attname, chr(31) ORDER BY ka.attname)
                FROM pg_catalog.pg_attribute AS ka
                WHERE ka.attrelid = i.indrelid AND ka.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
            ) AS columns
            FROM pg_catalog.pg_index AS i
            WHERE
                i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
        ) AS k
    ) AS keys
FROM pg_catalog.pg_class AS r
INNER JOIN pg_catalog.pg_attribute AS a ON r.oid = a.attrelid
INNER JOIN pg_catalog.pg_type AS t ON a.atttypid = t.oid
LEFT JOIN pg_catalog.pg_collation AS c ON a.attcollation = c.oid
LEFT JOIN pg_catalog.pg_namespace AS n ON r.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_stats AS s
    ON n.nspname = s.schemaname AND r.relname = s.tablename AND a.attname = s.attname AND NOT s.inherited
WHERE
    r.oid = pg_catalog.to_regclass(%s)
    AND r.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND a.attnum > 0
    AND NOT a.attisdropped
ORDER BY a.attnum
