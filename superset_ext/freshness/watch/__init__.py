"""Watched tables of PostgreSQL sources: triggers there, and a listener that hears of commits. Begin with `epochs`."""
