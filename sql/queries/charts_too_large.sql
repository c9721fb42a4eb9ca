-- Charts whose answers were too big to be stored, `least` times at least: how often, the seconds of an answer, the share
-- of hits that other charts have, and the most rows of one of their queries.
WITH asked AS (
    SELECT * FROM superset_ext.region_counts(%(days)s, %(now)s) WHERE cache_type = 'chart_data'
), ratio AS (
    SELECT coalesce(sum(hits) / NULLIF(sum(hits + misses), 0), 0)::float8 AS hit_ratio
    FROM asked WHERE sets_too_large = 0
), rows AS (
    SELECT chart_id, max(rows)::bigint AS most_rows FROM superset_ext.query_performance_log
    WHERE created_at >= %(now)s - make_interval(days => %(days)s) AND created_at < %(now)s GROUP BY chart_id
)
SELECT chart_id, sum(sets_too_large)::bigint AS too_large, sum(hits + misses)::bigint AS requests,
    sum(response_ms_sum) / NULLIF(sum(response_count), 0) / 1000 AS seconds_an_answer,
    min(ratio.hit_ratio) AS hit_ratio, min(rows.most_rows) AS most_rows
FROM asked LEFT JOIN rows USING (chart_id) CROSS JOIN ratio
WHERE chart_id <> 0
GROUP BY chart_id HAVING sum(sets_too_large) >= %(least)s ORDER BY too_large DESC
