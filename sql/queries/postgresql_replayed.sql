-- Up to when a PostgreSQL in recovery has replayed what its primary has committed, in seconds since 1970 by the primary's
-- clock; NULL where it does not tell. Only pg_read_all_stats lets a role see the receiver's row,
-- which says that there was nothing more to replay: without it, an idle primary looks like one that lags.
SELECT
    extract(EPOCH FROM greatest(
        pg_last_xact_replay_timestamp(),
        CASE WHEN pg_last_wal_replay_lsn() >= receiver.latest_end_lsn THEN receiver.last_msg_send_time END
    )) AS replayed_until
FROM (SELECT 1) AS one LEFT JOIN pg_stat_wal_receiver AS receiver ON true
