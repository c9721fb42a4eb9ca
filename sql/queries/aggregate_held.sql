-- What decides whether an aggregate may answer a chart, in the transaction that will read it. Asked on the source.
SELECT
    c.state,
    c.version,
    (extract(epoch FROM c.built_at) * 1000000)::bigint AS built_us,
    c.relation IS NOT DISTINCT FROM to_regclass('superset_ext_aggregates.' || quote_ident(c.name))::oid AS is_same_table,
    exact.is_exact,
    CASE
        WHEN exact.is_exact OR c.base_name IS NULL THEN true
        ELSE coalesce(c.anchor = superset_ext_aggregates.anchor(c), false)
    END AS is_anchored,
    extract(epoch FROM clock_timestamp() - c.as_of)::float8 AS age_seconds,
    current_setting('TimeZone') AS zone,
    current_database()::text AS database,
    pg_is_in_recovery() AS is_replica,
    coalesce(meant.all_same, true) AS are_same_names,
    meant.odd,
    meant.row_security
FROM superset_ext_aggregates.catalogue AS c
CROSS JOIN LATERAL (SELECT superset_ext_aggregates.is_exact(c) AS is_exact OFFSET 0) AS exact
CROSS JOIN LATERAL (
    SELECT
        bool_and(coalesce(n.nspname = e.schema_name AND r.relname = e.table_name, false)) AS all_same,
        min(m.relname) FILTER (WHERE m.relkind NOT IN ('r', 'p', 'm')) AS odd,
        min(m.relname) FILTER (WHERE m.relrowsecurity) AS row_security
    FROM unnest(%(written)s::text[], %(schemas)s::text[], %(names)s::text[]) AS e (written, schema_name, table_name)
    LEFT JOIN pg_class AS r ON r.oid = to_regclass(e.written)
    LEFT JOIN pg_namespace AS n ON n.oid = r.relnamespace
    LEFT JOIN LATERAL superset_ext_aggregates.members(e.schema_name, e.table_name) AS t ON true
    LEFT JOIN pg_class AS m ON m.oid = t.id
) AS meant
WHERE c.name = %(name)s
