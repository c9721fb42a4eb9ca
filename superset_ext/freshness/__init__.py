"""Freshness: what changed, whoever says so, is told to the caches with one verb."""
