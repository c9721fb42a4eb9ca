-- How many connections there are, and may be, of the server, of this database and of this role.
-- Asked of a source database: PostgreSQL 14 or later.
WITH session AS (
    SELECT datname, usename, state FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL
)
SELECT
    'the server' AS scope, current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0) AS most,
    count(*) AS used, count(*) FILTER (WHERE state = 'idle') AS idle,
    count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction
FROM session
UNION ALL
SELECT
    'this database', d.datconnlimit, count(s.datname), count(*) FILTER (WHERE s.state = 'idle'),
    count(*) FILTER (WHERE s.state LIKE 'idle in transaction%')
FROM pg_database AS d LEFT JOIN session AS s ON s.datname = d.datname
WHERE d.datname = current_database() AND d.datconnlimit >= 0 GROUP BY d.datconnlimit
UNION ALL
SELECT
    'this role', r.rolconnlimit, count(s.usename), count(*) FILTER (WHERE s.state = 'idle'),
    count(*) FILTER (WHERE s.state LIKE 'idle in transaction%')
FROM pg_roles AS r LEFT JOIN session AS s ON s.usename = r.rolname
WHERE r.rolname = current_user AND r.rolconnlimit >= 0 GROUP BY r.rolconnlimit
