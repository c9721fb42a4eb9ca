"""Freshness: what changed, and who reports it; one verb, `change.changed`, tells the caches."""
