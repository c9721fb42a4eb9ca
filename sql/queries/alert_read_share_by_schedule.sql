-- The share of warmed entries that people read, by schedule, of the runs of the window.
SELECT schedule, schedule, sum(entries_read)::float8 / sum(entries), count(*) FILTER (WHERE settled)
FROM superset_ext.cache_warm_run
WHERE schedule = ANY(%(schedules)s) AND created_at > %(now)s::timestamptz - %(window)s::interval
    AND created_at <= %(now)s::timestamptz AND entries > 0
GROUP BY schedule;
