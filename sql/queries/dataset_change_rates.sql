-- Changes a second of what each dataset reads. The start of a listener is none.
SELECT d.dataset_id, count(*)::float8 / greatest(1, least(%(days)s,
    extract(epoch FROM %(now)s - first.at)::float8 / 86400)) / 86400 AS rate
FROM unnest(%(datasets)s::int[], %(tags)s::text[]) AS d (dataset_id, tags)
CROSS JOIN (SELECT min(created_at) AS at FROM superset_ext.cache_invalidation_log WHERE created_at <= %(now)s) AS first
JOIN superset_ext.cache_invalidation_log l ON l.tags && string_to_array(d.tags, ' ')
WHERE l.operation = 'data_update' AND NOT l.precaution AND l.created_at <= %(now)s
    AND l.created_at >= %(now)s - make_interval(days => %(days)s)
GROUP BY d.dataset_id, first.at
