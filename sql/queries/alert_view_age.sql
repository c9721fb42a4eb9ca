-- Minutes since each view was refreshed.
SELECT view, view, extract(epoch FROM %(now)s::timestamptz - coalesce(refreshed_at, failed_since))::float8 / 60, 1
FROM superset_ext.view_refresh WHERE coalesce(refreshed_at, failed_since) IS NOT NULL;
