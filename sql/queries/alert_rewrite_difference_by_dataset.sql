-- How many rules gave other rows in the window and are off since, by dataset whose charts are rewritten.
SELECT 'dataset:' || u.dataset_id, coalesce(n.name, '#' || u.dataset_id), coalesce(o.rules, 0), coalesce(o.rules, 0)
FROM (
    SELECT dataset_id FROM superset_ext.rewrite_use
    UNION
    SELECT dataset_id FROM superset_ext.rewrite_switched_off
) AS u
LEFT JOIN (
    SELECT dataset_id, count(*) AS rules
    FROM superset_ext.rewrite_switched_off
    WHERE at > %(now)s::timestamptz - %(window)s::interval AND at <= %(now)s::timestamptz
    GROUP BY dataset_id
) AS o USING (dataset_id)
LEFT JOIN superset_ext.object_name AS n ON n.kind = 'dataset' AND n.id = u.dataset_id;
