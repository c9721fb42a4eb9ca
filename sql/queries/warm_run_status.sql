-- Where a run is at: its requests by state, and the expected milliseconds of those that are done and left. A page that
-- was opened is counted beside them, and among them only where that failed.
SELECT r.run_id, r.schedule, r.state, r.reason, r.requested_by, r.created_at, r.started_at, r.finished_at, r.options,
    r.left_out, r.entries, r.entries_read, r.spent_ms, r.saved_ms, r.settled,
    extract(epoch FROM coalesce(r.finished_at, now()) - coalesce(r.started_at, r.created_at)) AS seconds,
    r.fresh + count(i.*) FILTER (WHERE i.action <> 'discover' OR i.state = 'failed') AS total,
    r.fresh + count(i.*) FILTER (WHERE i.action <> 'discover' AND i.state IN ('warmed', 'fresh') OR i.state = 'failed')
        AS done,
    count(i.*) FILTER (WHERE i.action <> 'discover' AND i.state = 'warmed') AS warmed,
    count(i.*) FILTER (WHERE i.action = 'discover' AND i.state = 'warmed') AS pages,
    r.fresh + count(i.*) FILTER (WHERE i.state = 'fresh') AS already_fresh,
    count(i.*) FILTER (WHERE i.state = 'failed') AS failed,
    sum(i.cost_ms) FILTER (WHERE i.state IN ('queued', 'running')) AS left_ms,
    sum(i.cost_ms) FILTER (WHERE i.state IN ('warmed', 'fresh', 'failed')) AS done_ms
FROM superset_ext.cache_warm_run r LEFT JOIN superset_ext.cache_warm_item i USING (run_id)
WHERE r.run_id = %(run)s GROUP BY r.run_id;
