-- The registered request of a chart that can be asked again and is used most, and by whom it was asked last.
SELECT r.kind, r.path, r.args, r.body, r.is_form, s.user_id, s.guest::text AS guest
FROM superset_ext.cache_request AS r
JOIN superset_ext.cache_access_scope AS s USING (fingerprint)
WHERE r.replayable AND r.chart_id = %(chart_id)s
ORDER BY s.uses DESC, r.last_seen DESC, r.fingerprint, s.access_scope
LIMIT 1
