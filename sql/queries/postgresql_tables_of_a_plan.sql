-- What a PostgreSQL source knows of some tables, one JSON object each: no value of a row is among it.
SELECT jsonb_build_object(
    'schema', n.nspname,
    'name', c.relname,
    'written', CASE WHEN n.nspname = 'public' THEN '' ELSE pg_catalog.quote_ident(n.nspname) || '.' END
        || pg_catalog.quote_ident(c.relname),
    'kind', c.relkind,
    'rows', c.reltuples,
    'pages', CASE
        WHEN c.relkind IN ('r', 'm', 't') THEN
            pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint
        ELSE c.relpages
    END,
    'visible', CASE WHEN c.relpages > 0 THEN least(1.0, c.relallvisible::float8 / c.relpages) ELSE 0 END,
    -- What a session loads and analyzes within a second is counted after its ANALYZE. So nothing counts where that was
    -- a moment ago, and the table has neither grown nor dead rows since.
    'modified', CASE
        WHEN c.relkind IN ('r', 'm') AND pg_catalog.pg_stat_get_dead_tuples(c.oid) = 0
            AND pg_catalog.pg_relation_size(c.oid) <=
                c.relpages * pg_catalog.current_setting('block_size')::bigint
            AND now() - greatest(
                pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)
            ) < interval '5 minutes'
        THEN 0
        ELSE coalesce(pg_catalog.pg_stat_get_mod_since_analyze(c.oid), 0)
    END,
    'analyzed_days', extract(epoch FROM now() - greatest(
        pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)
    )) / 86400,
    'parent', (SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_namespace AS pn WHERE pn.oid = p.relnamespace),
    'partition_key', CASE WHEN p.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(p.oid) END,
    'partitions', (SELECT count(*) FROM pg_catalog.pg_inherits AS sibling WHERE sibling.inhparent = p.oid),
    'columns', (
        SELECT jsonb_object_agg(a.attname, jsonb_build_object(
            'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'written', pg_catalog.quote_ident(a.attname),
            'not_null', a.attnotnull,
            'analyzed', st.attname IS NOT NULL,
            'distinct', coalesce(st.n_distinct, 0),
            'correlation', coalesce(st.correlation, 0),
            'width', coalesce(st.avg_width, 0)
        ))
        FROM pg_catalog.pg_attribute AS a
        LEFT JOIN pg_catalog.pg_stats AS st
            ON st.schemaname = n.nspname AND st.tablename = c.relname AND st.attname = a.attname
                AND st.inherited = (c.relkind = 'p')
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    'indexes', (
        SELECT jsonb_agg(jsonb_build_object(
            'name', i.relname,
            'columns', (
                SELECT jsonb_agg(a.attname ORDER BY k.place)
                FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number AND k.number > 0
                WHERE k.place <= x.indnkeyatts
            ),
            'unique', x.indisunique,
            'partial', x.indpred IS NOT NULL
        ) ORDER BY i.relname)
        FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid AND x.indisvalid AND x.indisready
    ),
    'extended', (
        SELECT jsonb_agg((
            SELECT jsonb_agg(a.attname)
            FROM unnest(e.stxkeys::int2[]) AS k(number)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
        ))
        FROM pg_catalog.pg_statistic_ext AS e
        WHERE e.stxrelid = c.oid
    ),
    'expressions', (
        SELECT jsonb_agg(defined.text)
        FROM (
            SELECT pg_catalog.pg_get_statisticsobjdef(e.oid)
            FROM pg_catalog.pg_statistic_ext AS e
            WHERE e.stxrelid = c.oid
            UNION ALL
            SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k.place::int, false)
            FROM pg_catalog.pg_index AS x, unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, place)
            WHERE x.indrelid = c.oid AND k.number = 0 AND x.indpred IS NULL
        ) AS defined(text)
    )
)
FROM jsonb_to_recordset(%(names)s) AS wanted("schema" text, "name" text)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted."schema"
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted."name"
LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = c.oid
LEFT JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent;
