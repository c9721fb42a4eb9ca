"""Samples of the cache servers and the source databases, once a minute."""
