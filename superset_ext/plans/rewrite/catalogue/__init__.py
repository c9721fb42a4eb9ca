"""Inspectors: what a source's catalogue says of its tables, as rules ask it."""
