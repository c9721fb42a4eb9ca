-- Writes down what came of a probe, unless somebody else has taken its lease meanwhile.
UPDATE superset_ext.cache_probe SET answer = %(answer)s,
    answered_at = CASE WHEN %(answered)s THEN coalesce(%(now)s, now()) ELSE answered_at END,
    changed_at = CASE WHEN %(changed)s THEN coalesce(%(now)s, now()) ELSE changed_at END,
    failed_since = CASE WHEN NOT %(answered)s THEN coalesce(failed_since, %(claimed_at)s) END,
    error = %(error)s, next_at = %(claimed_at)s + make_interval(secs => %(wait)s), lease = NULL, lease_until = NULL,
    database_id = coalesce(%(database_id)s, database_id), table_schema = coalesce(%(table_schema)s, table_schema),
    table_name = coalesce(%(table_name)s, table_name), dataset_id = coalesce(%(dataset_id)s, dataset_id)
WHERE probe = %(probe)s AND lease = CAST(%(lease)s AS uuid)
