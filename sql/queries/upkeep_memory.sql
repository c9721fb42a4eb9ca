-- What the server's memory is beside the machine's, where there is a /proc/meminfo. In a container, that is the host's.
-- Asked of a source database: PostgreSQL 14 or later, by a role that may read the server's files.
SELECT
    pg_size_bytes(current_setting('shared_buffers'))::float8 AS shared_buffers, current_setting('shared_buffers') AS shown,
    pg_database_size(current_database())::float8 AS database_bytes,
    (regexp_match(pg_read_file('/proc/meminfo', 0, 200, true), 'MemTotal:\s+(\d+) kB'))[1]::float8 * 1024 AS machine
