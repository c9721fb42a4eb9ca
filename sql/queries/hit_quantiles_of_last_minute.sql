-- Median, 95th and 99th percentile of the milliseconds that hits took in the last 60 s, by region.
SELECT
    cache_type, superset_ext.histogram_quantile(hist, 0.5), superset_ext.histogram_quantile(hist, 0.95),
    superset_ext.histogram_quantile(hist, 0.99)
FROM (
    SELECT cache_type, superset_ext.histogram_merge(hit_histogram) AS hist
    FROM superset_ext.cache_performance_log
    WHERE created_at > now() - interval '60 seconds'
    GROUP BY cache_type
) AS merged;
