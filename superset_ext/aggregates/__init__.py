"""Small tables that answer the charts of large ones: which would, and with which text, proven equal.

All of it is pure: from the syntax tree of a statement and what is known of a table to a text, or to a refusal with its
reason. Nothing here runs a statement.
"""
