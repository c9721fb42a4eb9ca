-- Runs of which nobody holds an item, and no worker has given a sign of life for so many seconds: whether any run is
-- being worked on, and whether this one has items that may be taken.
SELECT r.run_id::text, r.state,
    EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.state = 'running' AND i.lease_until > now()) AS busy,
    EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.run_id = r.run_id
        AND (i.state = 'queued' AND i.not_before <= now() OR i.state = 'running' AND i.lease_until <= now())) AS due
FROM superset_ext.cache_warm_run r
WHERE r.state IN ('queued', 'running') AND r.beat_at <= now() - make_interval(secs => %(seconds)s)
    AND NOT EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.state = 'running' AND i.lease_until > now()
        AND i.run_id = r.run_id)
ORDER BY r.created_at;
