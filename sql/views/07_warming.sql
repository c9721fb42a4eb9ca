-- Warming runs of the last 30 days, and what became of the entries that they stored.

DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_warming;

CREATE MATERIALIZED VIEW superset_ext.perf_warming AS
SELECT
    run.run_id, coalesce(run.schedule, run.requested_by) AS schedule,
    coalesce(run.started_at, run.created_at) AS started_at, run.state,
    coalesce(item.items, 0) AS items, coalesce(item.warmed, 0) AS warmed,
    coalesce(item.fresh, 0) + run.fresh AS fresh, coalesce(item.failed, 0) AS failed, run.entries, run.entries_read,
    run.entries_read::double precision / nullif(run.entries, 0) AS read_ratio, run.spent_ms / 1000 AS spent_seconds,
    run.saved_ms / 1000 AS saved_seconds, (run.spent_ms - run.saved_ms) / 1000 AS wasted_seconds
FROM superset_ext.cache_warm_run AS run
LEFT JOIN (
    SELECT
        run_id, count(*) AS items, count(*) FILTER (WHERE state = 'warmed') AS warmed,
        count(*) FILTER (WHERE state = 'fresh') AS fresh, count(*) FILTER (WHERE state = 'failed') AS failed
    FROM superset_ext.cache_warm_item
    GROUP BY run_id
) AS item USING (run_id)
WHERE run.created_at >= now() - interval '30 days';

CREATE UNIQUE INDEX perf_warming_key ON superset_ext.perf_warming (run_id);

COMMENT ON MATERIALIZED VIEW superset_ext.perf_warming IS 'Warming runs of the last 30 days, and what became of the entries that they stored.';
COMMENT ON COLUMN superset_ext.perf_warming.run_id IS 'The run.';
COMMENT ON COLUMN superset_ext.perf_warming.schedule IS 'Its schedule, or who asked: cli, api or rewarm.';
COMMENT ON COLUMN superset_ext.perf_warming.started_at IS 'When it was planned, or asked for while it is not.';
COMMENT ON COLUMN superset_ext.perf_warming.state IS 'queued, running, done or failed.';
COMMENT ON COLUMN superset_ext.perf_warming.items IS 'Requests and pages that it has to do.';
COMMENT ON COLUMN superset_ext.perf_warming.warmed IS 'Those that stored an entry, or found a page''s requests.';
COMMENT ON COLUMN superset_ext.perf_warming.fresh IS 'Requests whose entries would last, left out or found so.';
COMMENT ON COLUMN superset_ext.perf_warming.failed IS 'Items that failed.';
COMMENT ON COLUMN superset_ext.perf_warming.entries IS 'Entries that it stored.';
COMMENT ON COLUMN superset_ext.perf_warming.entries_read IS 'Those that people have read so far.';
COMMENT ON COLUMN superset_ext.perf_warming.read_ratio IS 'entries_read / entries, 0 to 1; NULL where there are none.';
COMMENT ON COLUMN superset_ext.perf_warming.spent_seconds IS 'Seconds that computing the entries took.';
COMMENT ON COLUMN superset_ext.perf_warming.saved_seconds IS 'Seconds that people did not wait.';
COMMENT ON COLUMN superset_ext.perf_warming.wasted_seconds IS 'Seconds spent on entries that nobody has read so far.';
