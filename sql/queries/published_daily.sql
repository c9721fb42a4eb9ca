SELECT DATE(created_at) as date, AVG(hit_ratio) as avg_hit_ratio, AVG(response_time) as avg_response_time, COUNT(*) as total_requests,
       SUM(cache_hits) as total_hits, SUM(cache_misses) as total_misses
FROM cache_performance_log WHERE created_at >= CURRENT_DATE - INTERVAL '7 days' GROUP BY DATE(created_at) ORDER BY date DESC;
