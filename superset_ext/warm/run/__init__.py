"""Runs: planned, replayed, counted."""
