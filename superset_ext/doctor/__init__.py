"""`superset perf doctor`: the whole set-up, looked at by one who knows what goes wrong."""
