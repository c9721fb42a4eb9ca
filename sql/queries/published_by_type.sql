SELECT cache_type, COUNT(*) as total_requests, AVG(hit_ratio) as avg_hit_ratio, AVG(response_time) as avg_response_time, MAX(memory_usage) as peak_memory_usage
FROM cache_performance_log WHERE created_at >= CURRENT_DATE - INTERVAL '1 day' GROUP BY cache_type ORDER BY avg_hit_ratio DESC;
