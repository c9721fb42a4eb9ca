-- The state of each probe. `owed`: its next answer counts as a change, whatever it is. `failing` and `late` are seconds.
SELECT probe, database_id, table_schema, table_name, dataset_id, answer IS NULL AS owed, answered_at, changed_at,
    failed_since, error, next_at, extract(epoch FROM now() - failed_since) AS failing,
    CASE WHEN lease_until > now() THEN 0 ELSE extract(epoch FROM now() - next_at) END AS late
FROM superset_ext.cache_probe WHERE probe = ANY (%(probes)s)
