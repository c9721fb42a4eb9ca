-- Deletes the requests that nobody has seen for `days`, and those beyond the `rows` that are used most. Rows that
-- somebody is writing just now are left for the next time, so that nobody waits.
DELETE FROM superset_ext.cache_request WHERE fingerprint IN (
    SELECT fingerprint FROM superset_ext.cache_request
    WHERE last_seen < now() - make_interval(days => %(days)s) OR fingerprint IN (
        SELECT fingerprint FROM superset_ext.cache_request
        ORDER BY uses * superset_ext.uses_left(now() - used_at) DESC, last_seen DESC OFFSET %(rows)s
    )
    FOR UPDATE SKIP LOCKED
);
