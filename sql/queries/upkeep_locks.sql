-- Sessions of this database that wait for a lock, and who holds it.
-- Asked of a source database: PostgreSQL 14 or later. Of sessions that the role may not look into, there is the number.
SELECT
    w.pid AS waits_pid, w.usename AS waits_user, l.mode, l.locktype,
    format('%I.%I', n.nspname, c.relname) AS relation,
    extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS seconds,
    b.pid AS holds_pid, b.usename AS holds_user, b.state AS holds_state,
    extract(epoch FROM clock_timestamp() - b.xact_start)::float8 AS holds_seconds,
    w.query AS waits_query, b.query AS holds_query,
    pg_size_bytes(current_setting('track_activity_query_size')) AS query_size
FROM pg_locks AS l
JOIN pg_stat_activity AS w ON w.pid = l.pid
LEFT JOIN pg_class AS c ON c.oid = l.relation
LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS blocker(pid)
LEFT JOIN pg_stat_activity AS b ON b.pid = blocker.pid
WHERE NOT l.granted AND l.waitstart IS NOT NULL AND w.datname = current_database()
ORDER BY seconds DESC, w.pid, b.pid
