-- Writes an index that is advised, or about to be built. What is no proposal any more is left by another proposal.
INSERT INTO superset_ext.advice_log (
    database_id, schema_name, index_name, definition, bytes, seconds, fingerprints, table_name, reach_seconds,
    writes_a_day, wal_bytes_a_day, charts, datasets, state, reason)
VALUES (
    %(database_id)s, %(schema_name)s, %(index_name)s, %(definition)s, %(bytes)s, %(seconds)s, %(fingerprints)s,
    %(table_name)s, %(reach_seconds)s, %(writes_a_day)s, %(wal_bytes_a_day)s, %(charts)s, %(datasets)s, %(state)s,
    coalesce((
        SELECT 'dropped before, on ' || changed_at::date || ': ' || reason FROM superset_ext.advice_log
        WHERE database_id = %(database_id)s AND definition = %(definition)s AND state = 'dropped'
        ORDER BY changed_at DESC LIMIT 1
    ), ''))
ON CONFLICT (database_id, schema_name, index_name) DO UPDATE SET
    bytes = excluded.bytes, seconds = excluded.seconds, fingerprints = excluded.fingerprints,
    reach_seconds = excluded.reach_seconds, writes_a_day = excluded.writes_a_day,
    wal_bytes_a_day = excluded.wal_bytes_a_day, charts = excluded.charts, datasets = excluded.datasets,
    state = excluded.state,
    changed_at = CASE WHEN advice_log.state = excluded.state THEN advice_log.changed_at ELSE now() END
WHERE advice_log.state = 'proposed' OR excluded.state = 'building'
