-- Adds the entries that an item of a run has stored; one that the run had stored before begins anew.
INSERT INTO superset_ext.cache_warm_entry (run_id, ordinal, cache_key, cost_ms, expires_at)
SELECT v.run_id::uuid, v.ordinal, v.cache_key, v.cost_ms,
    CASE WHEN v.seconds > 0 THEN now() + make_interval(secs => v.seconds) END
FROM (VALUES %s) AS v (run_id, ordinal, cache_key, cost_ms, seconds)
ON CONFLICT (run_id, cache_key) DO UPDATE SET
    stored_at = excluded.stored_at, expires_at = excluded.expires_at, cost_ms = excluded.cost_ms, gone_at = NULL;
