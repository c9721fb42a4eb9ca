"""`superset perf …`."""
