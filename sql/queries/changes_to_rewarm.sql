-- The changes of the last quarter of an hour that are to be followed by a run, as ids and tags: all that have been quiet
-- since, or have waited for long enough, and dropped something that people had asked for.
SELECT array_agg(l.id) AS ids, array_agg(DISTINCT t.tag) AS tags
FROM superset_ext.cache_invalidation_log l CROSS JOIN LATERAL unnest(l.tags) AS t (tag)
WHERE l.rewarm_run_id IS NULL AND l.requests_affected > 0 AND t.tag <> %(any)s
    AND l.created_at > now() - interval '15 minutes'
    AND (l.created_at < now() - make_interval(secs => %(latest)s) OR NOT EXISTS (
        SELECT FROM superset_ext.cache_invalidation_log later
        WHERE later.created_at > now() - make_interval(secs => %(quiet)s) AND later.tags && l.tags));
