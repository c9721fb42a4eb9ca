"""The region cache: what Superset reads and writes through Flask-Caching."""
