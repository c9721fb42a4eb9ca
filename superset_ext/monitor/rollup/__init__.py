"""The log rolled up, and the views on it."""
