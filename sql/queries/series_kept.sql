-- The series in which anomalies are found, after `since` and to `until`, with the name of the database that one is about.
SELECT series, array_agg(extract(epoch FROM at)::bigint), array_agg(value), array_agg(events), n.name
FROM superset_ext.performance_series
LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id::text = split_part(series, ':', 2)
WHERE at > %(since)s AND at <= %(until)s GROUP BY series, n.name
