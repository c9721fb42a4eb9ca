-- Marks warmed entries as gone: of each key the time at which people found it gone.
UPDATE superset_ext.cache_warm_entry e SET gone_at = to_timestamp(v.at)
FROM (VALUES %s) AS v (cache_key, at)
WHERE e.cache_key = v.cache_key AND e.gone_at IS NULL AND e.stored_at <= to_timestamp(v.at);
