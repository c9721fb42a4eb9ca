"""Superset without containers: web server, workers and beat, with PostgreSQL and Valkey from PyPI wheels.

It runs in this repository only, and is not part of the installed package.
"""
