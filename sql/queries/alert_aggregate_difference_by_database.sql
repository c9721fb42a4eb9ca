-- How many aggregates gave other rows in the window and are off since, by database that has some.
SELECT 'database:' || s.database_id, coalesce(n.name, '#' || s.database_id), coalesce(o.aggregates, 0), coalesce(o.aggregates, 0)
FROM (
    SELECT database_id FROM superset_ext.aggregate_state
    UNION
    SELECT database_id FROM superset_ext.aggregate_switched_off
) AS s
LEFT JOIN (
    SELECT database_id, count(*) AS aggregates
    FROM superset_ext.aggregate_switched_off
    WHERE at > %(now)s::timestamptz - %(window)s::interval AND at <= %(now)s::timestamptz
    GROUP BY database_id
) AS o USING (database_id)
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'database' AND n.id = s.database_id;
