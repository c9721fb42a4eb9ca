-- Replication slots that keep write-ahead log, and replicas that lag.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    slot_name AS name, 'slot' AS kind, active, wal_status,
    pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
    )::float8 AS bytes, NULL::float8 AS seconds
FROM pg_replication_slots
UNION ALL
SELECT
    coalesce(application_name, pid::text), 'replica', true, state, NULL, extract(epoch FROM replay_lag)::float8
FROM pg_stat_replication
ORDER BY kind, name
