-- Counts reads of warmed entries: of each key the times at which people read it, as far as its entry lived then.
UPDATE superset_ext.cache_warm_entry e
SET reads = e.reads + n.reads, first_read_at = coalesce(e.first_read_at, n.first)
FROM (
    SELECT w.run_id, w.cache_key, count(*) AS reads, min(to_timestamp(at)) AS first
    FROM (VALUES %s) AS v (cache_key, times)
    JOIN superset_ext.cache_warm_entry w ON w.cache_key = v.cache_key AND w.gone_at IS NULL
    CROSS JOIN unnest(v.times) AS at
    WHERE to_timestamp(at) >= w.stored_at AND (w.expires_at IS NULL OR to_timestamp(at) <= w.expires_at)
    GROUP BY w.run_id, w.cache_key
) n
WHERE e.run_id = n.run_id AND e.cache_key = n.cache_key;
