"""Which tables SQL reads and writes."""
