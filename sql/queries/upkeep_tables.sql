-- Tables with how far their statistics, their vacuum and their transaction ids lag, and the limits that hold for each.
-- Asked of a source database: PostgreSQL 14 or later.
WITH locked AS MATERIALIZED (  -- whose size cannot be asked without waiting
    SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
), setting AS MATERIALIZED (
    SELECT name, setting::float8 AS value FROM pg_settings
    WHERE name LIKE 'autovacuum%' AND vartype IN ('integer', 'real')
), options AS (
    SELECT c.oid, jsonb_object_agg(o.option_name, o.option_value) AS options
    FROM pg_class AS c CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS o
    WHERE c.relkind IN ('r', 'm') GROUP BY c.oid
), tables AS (
    SELECT
        c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages, c.relfrozenxid, c.relminmxid, c.reltoastrelid,
        coalesce(o.options, '{}') AS options
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN options AS o ON o.oid = c.oid
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
)
SELECT
    format('%I.%I', t.nspname, t.relname) AS relation,
    t.reltuples::float8 AS rows,
    CASE WHEN t.oid IN (SELECT relation FROM locked) THEN t.relpages::float8
        ELSE pg_relation_size(t.oid)::float8 / current_setting('block_size')::float8 END AS pages,
    coalesce(s.n_live_tup, 0)::float8 AS live,
    coalesce(s.n_dead_tup, 0)::float8 AS dead,
    -- What a session loads and analyzes within a second is counted after its ANALYZE. So nothing counts where that was
    -- a moment ago, and the table has neither grown nor dead rows since.
    CASE
        WHEN s.n_dead_tup = 0 AND t.oid NOT IN (SELECT relation FROM locked)
            AND pg_relation_size(t.oid) <= t.relpages * current_setting('block_size')::bigint
            AND now() - greatest(s.last_analyze, s.last_autoanalyze) < interval '5 minutes'
        THEN 0
        ELSE coalesce(s.n_mod_since_analyze, 0)
    END::float8 AS modified,
    s.last_analyze IS NOT NULL OR s.last_autoanalyze IS NOT NULL AS analyzed,
    extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum))::float8 / 86400 AS vacuumed_days,
    coalesce(t.options ->> 'autovacuum_enabled', 'true') NOT IN ('false', 'off', 'no', '0') AS autovacuum,
    coalesce((t.options ->> 'autovacuum_vacuum_threshold')::float8, own.threshold)
        + coalesce((t.options ->> 'autovacuum_vacuum_scale_factor')::float8, own.scale) * greatest(t.reltuples, 0)
        AS vacuum_after,
    greatest(age(t.relfrozenxid), coalesce(age(toast.relfrozenxid), 0))::float8 AS age,
    least(coalesce((t.options ->> 'autovacuum_freeze_max_age')::float8, own.freeze), own.freeze) AS freeze_after,
    greatest(mxid_age(t.relminmxid), coalesce(mxid_age(toast.relminmxid), 0))::float8 AS multixact_age,
    least(coalesce((t.options ->> 'autovacuum_multixact_freeze_max_age')::float8, own.multixact), own.multixact)
        AS multixact_freeze_after
FROM tables AS t
CROSS JOIN (
    SELECT
        max(value) FILTER (WHERE name = 'autovacuum_vacuum_threshold') AS threshold,
        max(value) FILTER (WHERE name = 'autovacuum_vacuum_scale_factor') AS scale,
        max(value) FILTER (WHERE name = 'autovacuum_freeze_max_age') AS freeze,
        max(value) FILTER (WHERE name = 'autovacuum_multixact_freeze_max_age') AS multixact
    FROM setting
) AS own
LEFT JOIN pg_class AS toast ON toast.oid = t.reltoastrelid
LEFT JOIN pg_stat_all_tables AS s ON s.relid = t.oid
ORDER BY t.nspname, t.relname
