-- How many times as long a statement took whose plan changed in the window, by source database with plans of a day.
SELECT 'database:' || p.database_id, coalesce(n.name, '#' || p.database_id), coalesce(times, 0), plans
FROM (
    SELECT k.database_id,
        max((f.finding -> 'numbers' ->> 'ms')::float8 / greatest((f.finding -> 'numbers' ->> 'before_ms')::float8, 1))
            AS times, count(f.finding) AS plans
    FROM superset_ext.query_plan AS k
    LEFT JOIN LATERAL (
        SELECT finding FROM jsonb_array_elements(k.findings) AS finding
        WHERE finding ->> 'kind' = 'plan_changed' AND k.taken_at > %(now)s::timestamptz - %(window)s::interval
    ) AS f ON true
    WHERE k.taken_at > %(now)s::timestamptz - interval '1 day' AND k.taken_at <= %(now)s::timestamptz
    GROUP BY k.database_id
) AS p
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'database' AND n.id = p.database_id;
