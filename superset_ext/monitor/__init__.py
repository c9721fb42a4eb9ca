"""What the caches did: counted in memory, written to `cache_performance_log`, kept for a while."""
