-- Dashboards of whose requests at least the share `share`, and `least`, go round the caches, and the seconds of an answer.
SELECT dashboard_id, sum(miss_forced)::bigint AS forced, sum(hits + misses)::bigint AS requests,
    round(sum(miss_forced) / sum(hits + misses), 3)::float8 AS share,
    coalesce(sum(saved_ms) / NULLIF(sum(hits), 0), sum(response_ms_sum) / NULLIF(sum(response_count), 0), 0) / 1000
        AS seconds_an_answer
FROM superset_ext.region_counts(%(days)s, %(now)s)
WHERE cache_type = 'chart_data' AND dashboard_id <> 0 AND channel <> 'warm'
GROUP BY dashboard_id
HAVING sum(miss_forced) >= %(least)s AND sum(miss_forced) >= %(share)s * sum(hits + misses) ORDER BY forced DESC
