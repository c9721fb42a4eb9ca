-- Items of a run, taken under a lease: those that wait and those whose lease has ended, in order, as far as the limit of
-- their source database allows over all runs.
WITH busy AS (
    SELECT database_id, count(*) AS n FROM superset_ext.cache_warm_item
    WHERE state = 'running' AND lease_until > now() GROUP BY database_id
), open AS (
    SELECT i.ordinal, row_number() OVER (PARTITION BY i.database_id ORDER BY i.ordinal) + coalesce(b.n, 0) AS place,
        i.database_id
    FROM superset_ext.cache_warm_item i LEFT JOIN busy b ON b.database_id = i.database_id
    WHERE i.run_id = %(run)s
        AND EXISTS (SELECT FROM superset_ext.cache_warm_run r WHERE r.run_id = i.run_id AND r.state = 'running')
        AND (i.state = 'queued' AND i.not_before <= now()
        OR i.state = 'running' AND i.lease_until <= now())
)
UPDATE superset_ext.cache_warm_item i SET state = 'running', attempts = attempts + 1, lease = %(lease)s,
    lease_until = now() + make_interval(secs => %(seconds)s), started_at = now(), reason = NULL
WHERE i.run_id = %(run)s AND i.ordinal IN (
    SELECT ordinal FROM open WHERE database_id IS NULL OR place <= %(per_database)s ORDER BY ordinal LIMIT %(n)s
)
RETURNING i.ordinal, i.action, i.fingerprint, i.page, i.user_id, i.guest, i.dashboard_id, i.chart_id,
    i.database_id, i.cost_ms, i.attempts;
