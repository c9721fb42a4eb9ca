"""Which tables SQL reads and writes.

Inside this folder, what cannot be known raises `Unknown`; `read_tables` and `written_tables` then return `None`.
"""
