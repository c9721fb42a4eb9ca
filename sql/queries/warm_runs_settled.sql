-- Brings the figures of runs up to date that are not settled yet. A run is settled when it has ended and its entries have
-- gone.
UPDATE superset_ext.cache_warm_run r SET
    entries = e.entries, entries_read = e.entries_read, spent_ms = e.spent_ms, saved_ms = e.saved_ms,
    settled = r.finished_at IS NOT NULL AND e.open = 0
FROM (
    SELECT run_id, count(*) AS entries, count(*) FILTER (WHERE reads > 0) AS entries_read,
        sum(cost_ms) AS spent_ms, coalesce(sum(cost_ms) FILTER (WHERE reads > 0), 0) AS saved_ms,
        count(*) FILTER (WHERE gone_at IS NULL) AS open
    FROM superset_ext.cache_warm_entry
    WHERE run_id IN (SELECT run_id FROM superset_ext.cache_warm_run WHERE NOT settled)
    GROUP BY run_id
) e
WHERE e.run_id = r.run_id AND NOT r.settled
RETURNING r.run_id, r.schedule, r.entries, r.entries_read, r.settled, r.state;
