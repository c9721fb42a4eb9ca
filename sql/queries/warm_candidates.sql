-- The registered requests of what is named and of the targets that go by the registry, once for each access scope, with
-- the uses that are expected in the hours that are given with their shares; the likeliest and dearest first. `unknown` is
-- taken for the cost of a request that was never computed. What names nothing is NULL, so that its part is left out.
SELECT r.fingerprint, r.dashboard_id, r.chart_id, r.database_id, r.cost_ms,
    CASE
        WHEN cardinality(r.hours) = 0 THEN 0
        ELSE round((
            SELECT sum(r.hours[w.hour] * w.share)
            FROM unnest(%(hours)s::integer[], %(shares)s::float8[]) AS w (hour, share)
        ) * superset_ext.profile_left(now() - r.used_at) / superset_ext.profile_weeks(now() - r.first_seen) * 1e4) / 1e4
    END AS rate,
    s.user_id, s.guest::text, s.cache_keys, r.dataset_id, extract(epoch FROM s.used_at)::float8
FROM superset_ext.cache_request r JOIN superset_ext.cache_access_scope s USING (fingerprint)
WHERE r.replayable AND (
    %(dashboards)s::integer[] IS NOT NULL AND r.dashboard_id = ANY(%(dashboards)s::integer[])
    OR %(charts)s::integer[] IS NOT NULL AND r.chart_id = ANY(%(charts)s::integer[])
    OR %(datasets)s::integer[] IS NOT NULL AND r.dataset_id = ANY(%(datasets)s::integer[])
    -- Of entries that are kept for their use, the unused ones do not come back.
    OR %(changed)s::text[] IS NOT NULL AND r.tags && %(changed)s::text[] AND NOT EXISTS (
        SELECT FROM unnest(r.tags) AS t (tag)
        WHERE starts_with(t.tag, 'usage:') AND r.uses < split_part(t.tag, ':', 2)::float8
    )
    OR %(frequent)s AND r.chart_id IN (
        SELECT chart_id FROM superset_ext.cache_request WHERE replayable AND chart_id IS NOT NULL
        GROUP BY chart_id ORDER BY sum(uses * superset_ext.uses_left(now() - used_at)) DESC LIMIT %(limit)s
    )
    OR %(common)s AND r.fingerprint IN (
        SELECT fingerprint FROM superset_ext.cache_request WHERE replayable
        ORDER BY uses * superset_ext.uses_left(now() - used_at) * coalesce(cost_ms, %(unknown)s) DESC LIMIT %(limit)s
    )
)
ORDER BY rate DESC, coalesce(r.cost_ms, %(unknown)s) DESC, r.fingerprint
