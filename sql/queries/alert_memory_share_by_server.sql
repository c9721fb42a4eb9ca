-- The share of its memory that a cache server uses, in the window. Regions of one server say the same: one alert a
-- server.
SELECT server, server, percentile_cont(0.5) WITHIN GROUP (ORDER BY server_memory::float8 / maxmemory),
    count(DISTINCT at)
FROM superset_ext.cache_sample
WHERE at > %(now)s::timestamptz - %(window)s::interval
    AND at <= %(now)s::timestamptz AND maxmemory > 0 AND server_memory IS NOT NULL
GROUP BY server;
