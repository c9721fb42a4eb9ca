"""Aggregates as tables of a PostgreSQL source: built, kept up, checked and dropped.

Each is a table in a schema of ours, with a row in the catalogue there (`sql/aggregates`), so that all processes agree.
Why it may be called exact stands in `refreshing`.
"""
