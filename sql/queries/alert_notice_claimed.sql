-- Takes the next notice that is due under a lease: the notices of an alert go out in their order.
UPDATE superset_ext.performance_alert_notice SET attempts = attempts + 1,
    not_before = now() + make_interval(secs => %s)
WHERE id = (
    SELECT id FROM superset_ext.performance_alert_notice n
    WHERE done_at IS NULL AND not_before <= now() AND NOT EXISTS (
        SELECT FROM superset_ext.performance_alert_notice earlier
        WHERE earlier.alert_id = n.alert_id AND earlier.id < n.id AND earlier.done_at IS NULL)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, alert_id, event, severity, title, body, delivered_to, attempts,
    created_at < now() - make_interval(days => %s) AS is_last
