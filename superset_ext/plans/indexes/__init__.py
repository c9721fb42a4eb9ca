"""Which indexes would help the queries that charts ask, and what they cost."""
