-- What each region was asked for, what it stored and what its server threw out, and the seconds of an answer.
SELECT cache_type AS region, sum(hits)::bigint AS hits, sum(hits + misses)::bigint AS requests,
    sum(miss_evicted)::bigint AS miss_evicted, sum(sets)::bigint AS sets, sum(sets_memory)::bigint AS sets_memory,
    sum(bytes_written)::bigint AS bytes_written, sum(sum(evictions)) OVER ()::bigint AS evictions_of_servers,
    max(memory_peak)::bigint AS memory_peak,
    coalesce(sum(saved_ms) / NULLIF(sum(hits), 0), sum(response_ms_sum) / NULLIF(sum(response_count), 0), 0) / 1000
        AS seconds_an_answer
FROM superset_ext.region_counts(%(days)s, %(now)s) GROUP BY cache_type ORDER BY cache_type
