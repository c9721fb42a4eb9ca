-- Schedules whose entries people hardly read, over the runs that have settled.
SELECT schedule, count(*)::int AS runs, sum(entries)::bigint AS entries, sum(entries_read)::bigint AS entries_read,
    sum(spent_ms) / 1000 AS spent_seconds, sum(saved_ms) / 1000 AS saved_seconds,
    greatest(extract(epoch FROM %(now)s - min(created_at))::float8 / 86400, 1) AS days
FROM superset_ext.cache_warm_run
WHERE schedule IS NOT NULL AND settled AND state = 'done'
    AND created_at >= %(now)s - make_interval(days => %(days)s) AND created_at < %(now)s
GROUP BY schedule HAVING count(*) >= %(least)s AND sum(entries) > 0 AND sum(entries_read) <= %(share)s * sum(entries)
ORDER BY schedule
