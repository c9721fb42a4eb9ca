"""Commits to watched tables of a PostgreSQL source."""
