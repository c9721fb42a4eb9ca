-- The share of items that failed in the last run of each schedule that ended in the window.
SELECT schedule, schedule, CASE WHEN state = 'failed' THEN 1 ELSE coalesce(failed::float8 / nullif(items, 0), 0) END,
    CASE WHEN state = 'failed' THEN greatest(failed, 1) ELSE failed END
FROM (
    SELECT DISTINCT ON (schedule) run_id, schedule, state, fresh FROM superset_ext.cache_warm_run
    WHERE schedule = ANY(%(schedules)s) AND finished_at > %(now)s::timestamptz - %(window)s::interval
        AND finished_at <= %(now)s::timestamptz
    ORDER BY schedule, finished_at DESC
) AS last
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE i.state = 'failed') AS failed, count(*) + last.fresh AS items
    FROM superset_ext.cache_warm_item i WHERE i.run_id = last.run_id
) AS done;
