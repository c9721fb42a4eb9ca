-- The reasons for which items of a run failed, with the dashboards and charts of each, the commonest first.
SELECT reason, count(*) AS items,
    array_agg(DISTINCT dashboard_id) FILTER (WHERE dashboard_id IS NOT NULL) AS dashboards,
    array_agg(DISTINCT chart_id) FILTER (WHERE chart_id IS NOT NULL) AS charts
FROM superset_ext.cache_warm_item WHERE run_id = %(run)s AND state = 'failed' GROUP BY reason ORDER BY items DESC;
