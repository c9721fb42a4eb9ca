-- Takes the probe whose turn it is, and returns it with its last answer. Probes that answer come before those that fail.
-- `any` takes one whenever its turn is; `now` is the log database's clock if NULL.
WITH due AS (
    SELECT p.probe, mine.seconds FROM superset_ext.cache_probe p
        JOIN unnest(%(keys)s, CAST(%(seconds)s AS float8[])) AS mine (probe, seconds) USING (probe)
    WHERE (%(any)s OR p.next_at <= coalesce(%(now)s, now()))
        AND (p.lease_until IS NULL OR p.lease_until <= coalesce(%(now)s, now()))
    ORDER BY p.failed_since NULLS FIRST, p.next_at LIMIT 1
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE superset_ext.cache_probe p SET lease = CAST(%(lease)s AS uuid),
    lease_until = coalesce(%(now)s, now()) + make_interval(secs => due.seconds)
FROM due WHERE p.probe = due.probe
RETURNING p.probe, p.lease, p.answer, p.answered_at, coalesce(%(now)s, now()) AS claimed_at,
    coalesce(extract(epoch FROM coalesce(%(now)s, now()) - p.failed_since), 0) AS failing,
    p.database_id, p.table_schema, p.table_name, p.dataset_id
