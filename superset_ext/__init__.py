"""The performance layer for Apache Superset: separate, observed, unbreakable caches."""

__version__ = "0.1.0"
