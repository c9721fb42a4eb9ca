-- What statements took in the week before a moment and in the time after it, by the query log: calls and medians.
SELECT q.fingerprint,
    count(*) FILTER (WHERE q.created_at < %(applied_at)s) AS calls_before,
    count(*) FILTER (WHERE q.created_at >= %(applied_at)s) AS calls_after,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY q.duration_ms) FILTER (WHERE q.created_at < %(applied_at)s)
        AS ms_before,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY q.duration_ms) FILTER (WHERE q.created_at >= %(applied_at)s)
        AS ms_after
FROM superset_ext.query_performance_log AS q
WHERE q.database_id = %(database_id)s AND q.fingerprint = ANY (%(fingerprints)s) AND q.error IS NULL
    AND q.created_at >= %(applied_at)s - interval '7 days' AND q.created_at < %(until)s
GROUP BY q.fingerprint
ORDER BY q.fingerprint
