-- What people are shown: names of objects, also of none, and names of the views.

CREATE OR REPLACE FUNCTION superset_ext.object_label(kind text, id integer, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN id IS NULL THEN NULL
        WHEN id <> 0 THEN coalesce(nullif(name, ''), '#' || id)
        WHEN kind = 'chart' THEN 'no chart (filter or API)'
        WHEN kind = 'dashboard' THEN 'no dashboard (Explore or API)'
        ELSE 'no ' || kind
    END
$$;

COMMENT ON FUNCTION superset_ext.object_label(text, integer, text) IS 'The name of an object in the views: its own, #12 where that is not known, and "no dashboard" and the like where there is none.';

CREATE OR REPLACE FUNCTION superset_ext.view_label(view text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE view
        WHEN 'rollups' THEN 'Hourly and daily sums'
        WHEN 'names' THEN 'Names of charts and dashboards'
        WHEN 'recommendations' THEN 'Recommendations'
        WHEN 'perf_cache_hour' THEN 'Caches by hour'
        WHEN 'perf_cache_day' THEN 'Caches by day'
        WHEN 'perf_miss_reason' THEN 'Reasons of misses'
        WHEN 'perf_memory' THEN 'Memory and evictions'
        WHEN 'perf_dashboard' THEN 'Dashboards'
        WHEN 'perf_chart' THEN 'Charts'
        WHEN 'perf_dataset' THEN 'Datasets'
        WHEN 'perf_query_hour' THEN 'Queries by hour'
        WHEN 'perf_slow_query' THEN 'Slowest queries'
        WHEN 'perf_warming' THEN 'Warming'
        WHEN 'perf_invalidation' THEN 'Changes'
        WHEN 'perf_alert' THEN 'Alerts'
        ELSE view
    END
$$;

COMMENT ON FUNCTION superset_ext.view_label(text) IS 'What people call the numbers of a view, or of what views stand on.';
