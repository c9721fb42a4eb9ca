-- The registered requests of a database that can be asked again, once for each access scope, by whom they were asked
-- last. The most used of each chart (or of each dataset's filters) come first, then the second most used, and so on: so
-- that few of them have the statements of all charts.
SELECT r.kind, r.path, r.args, r.body, r.is_form, s.user_id, s.guest::text AS guest
FROM superset_ext.cache_request AS r
JOIN superset_ext.cache_access_scope AS s USING (fingerprint)
WHERE r.replayable AND r.database_id = %(database_id)s AND r.last_seen >= now() - make_interval(days => %(days)s)
ORDER BY
    row_number() OVER (PARTITION BY r.chart_id, r.dataset_id ORDER BY s.uses DESC, r.fingerprint, s.access_scope),
    r.cost_ms DESC NULLS LAST, r.fingerprint, s.access_scope
LIMIT %(most)s
