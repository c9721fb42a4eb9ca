-- As of when the numbers of each view are. Not materialized: it is what says that a refresh fails or lags.

CREATE OR REPLACE VIEW superset_ext.perf_refresh AS
SELECT
    view, refreshed_at, extract(epoch FROM now() - refreshed_at)::double precision AS seconds_ago, seconds, rows, error
FROM superset_ext.view_refresh;

COMMENT ON VIEW superset_ext.perf_refresh IS 'As of when the numbers of each view are, and whether its last refresh failed.';
COMMENT ON COLUMN superset_ext.perf_refresh.view IS 'The view; rollups and names for what all of them stand on.';
COMMENT ON COLUMN superset_ext.perf_refresh.refreshed_at IS 'As of when its numbers are; NULL for never.';
COMMENT ON COLUMN superset_ext.perf_refresh.seconds_ago IS 'Seconds since then.';
COMMENT ON COLUMN superset_ext.perf_refresh.seconds IS 'Seconds that the refresh took.';
COMMENT ON COLUMN superset_ext.perf_refresh.rows IS 'Rows that it has.';
COMMENT ON COLUMN superset_ext.perf_refresh.error IS 'Why the last refresh failed; NULL where it did not.';
