-- Adds uses to the requests of the registry; what is known of a request is what was seen last.
INSERT INTO superset_ext.cache_request AS r (
    fingerprint, kind, path, args, body, is_form, replayable, dashboard_id, chart_id, dataset_id, database_id,
    queries, uses, used_at, hours, first_seen, last_seen, cost_ms, tags
) VALUES %s
ON CONFLICT (fingerprint) DO UPDATE SET
    uses = r.uses * superset_ext.uses_left(excluded.used_at - r.used_at) + excluded.uses,
    hours = superset_ext.added_hours(
        r.hours, superset_ext.profile_left(excluded.used_at - r.used_at), excluded.hours),
    used_at = greatest(r.used_at, excluded.used_at),
    last_seen = greatest(r.last_seen, excluded.last_seen),
    body = excluded.body, args = excluded.args, replayable = excluded.replayable,
    dashboard_id = coalesce(excluded.dashboard_id, r.dashboard_id),
    chart_id = coalesce(excluded.chart_id, r.chart_id),
    dataset_id = coalesce(excluded.dataset_id, r.dataset_id),
    database_id = coalesce(excluded.database_id, r.database_id),
    queries = greatest(r.queries, excluded.queries),
    tags = CASE WHEN cardinality(excluded.tags) = 0 THEN r.tags ELSE excluded.tags END,
    cost_ms = coalesce(r.cost_ms * 2 / 3 + excluded.cost_ms / 3, excluded.cost_ms, r.cost_ms);
