"""All that touches Superset's own code."""
