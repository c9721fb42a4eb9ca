-- What datasets read, as tags, and whether their requests name a span by words: that is another span at another
-- time, although no data has changed. A request whose body is not kept may do so.
SELECT r.dataset_id, bool_or(r.relative) AS relative,
    coalesce(array_agg(DISTINCT tag) FILTER (WHERE tag IS NOT NULL), '{}') AS tags
FROM (
    SELECT dataset_id, tags, body IS NULL OR body ~* (
        '"(time_range|since|until|val)":\s*"[^"]*\m(last|previous|current|next|now|today|yesterday|tomorrow|ago|'
        || 'dateadd|datetime|datetrunc|lastday|holiday)\M') AS relative
    FROM superset_ext.cache_request WHERE dataset_id = ANY(%(datasets)s)
) AS r
LEFT JOIN LATERAL unnest(r.tags) AS tag ON true
GROUP BY r.dataset_id
