"""The package over HTTP, as a part of Superset's own API."""
