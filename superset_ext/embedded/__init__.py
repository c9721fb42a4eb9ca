"""Superset without containers: PostgreSQL and Valkey from PyPI wheels, web, worker and beat."""
