"""The built-in dashboards, and who may read them."""
