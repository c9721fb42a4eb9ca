"""Superset's own hooks: its edits, SQL Lab, uploads, and stock's endpoint for invalidation.

No hook fails what a person does in Superset. A change that cannot be stamped goes to the outbox; one that cannot be
worked out counts as a change of everything.
"""
